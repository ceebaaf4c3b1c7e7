//! Who started a holder: the process that was its parent when it claimed, and the service manager's unit, if it is one's.
//!
//! For people, who look for what starts a program again and again, and for `flapping`, which tells two that do so in
//! turn from one. Facts of the moment of the claim: a parent may end, and leave the holder to process 1, later. Nothing
//! of it is proof of anything, and what the system does not tell is missing.
//! Proven by the tests below, and by `tests/managers.rs`.

use serde::{Deserialize, Serialize};

use crate::{platform, text};

/// Who started a holder, as it was when it claimed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Starter {
    /// The parent's pid; none: it is outside of the holder's pid namespace.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The parent's name, as the kernel keeps it: `systemd`, `supervisord`, `bash`.
    #[serde(default)]
    pub name: Option<String>,
    /// The parent's start, in the system's own unit: with the pid and within one boot it names one process.
    #[serde(default)]
    pub start_ticks: Option<u64>,
    /// What the service manager that started the holder calls it: `gateway.service`; none: it was no service manager.
    #[serde(default)]
    pub unit: Option<String>,
    /// The holder's session: the pid of the shell, the terminal's or the daemon's process that began it.
    #[serde(default)]
    pub session: Option<u32>,
}

impl Starter {
    /// Who started this process; some 10 µs on Linux.
    pub(crate) fn of_this() -> Self {
        let pid = platform::parent();
        let (name, start_ticks) = pid.and_then(platform::process::name_and_start).unzip();
        Self {
            pid,
            name: name.filter(|name| !name.is_empty()),
            start_ticks: start_ticks.flatten(),
            unit: platform::supervisor().and_then(|supervisor| supervisor.unit),
            session: platform::session(),
        }
    }

    /// Tells whether both are known to be the same process, starting the same unit.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.pid.is_some()
            && (self.pid, self.start_ticks, &self.unit) == (other.pid, other.start_ticks, &other.unit)
    }

    /// In words: `systemd (pid 1, unit gateway.service)`.
    #[must_use]
    pub fn words(&self) -> String {
        let unit = self.unit.as_deref().map(|unit| format!("unit {}", text::shown(unit)));
        let Some(pid) = self.pid else {
            let unit = unit.map_or_else(String::new, |unit| format!(" ({unit})"));
            return format!("{}{unit}", platform::UNNAMED_PROCESS);
        };
        match (&self.name, unit) {
            (Some(name), Some(unit)) => format!("{} (pid {pid}, {unit})", text::shown(name)),
            (Some(name), None) => format!("{} (pid {pid})", text::shown(name)),
            (None, Some(unit)) => format!("pid {pid} ({unit})"),
            (None, None) => format!("pid {pid}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::process::Process;

    #[test]
    fn this_process_was_started_by_its_parent() {
        let starter = Starter::of_this();
        assert_eq!(starter.pid, platform::parent());
        if let Some(parent) = starter.pid.and_then(|pid| Process::of(pid).unwrap()) {
            assert_eq!(starter.name, Some(parent.name));
            assert_eq!(starter.start_ticks, parent.start_ticks);
            assert!(starter.is(&Starter::of_this()));
        }
    }

    #[test]
    fn an_unknown_parent_is_nobody_in_particular() {
        assert!(!Starter::default().is(&Starter::default()));
        let one = Starter { pid: Some(1), start_ticks: Some(9), ..Starter::default() };
        assert!(one.is(&Starter { session: Some(7), name: Some("init".into()), ..one.clone() }));
        assert!(!one.is(&Starter { start_ticks: Some(10), ..one.clone() }), "another process with its pid");
        assert!(!one.is(&Starter { unit: Some("a.service".into()), ..one.clone() }));
    }

    #[test]
    fn it_is_named_by_what_is_known() {
        let all = Starter {
            pid: Some(1),
            name: Some("systemd".into()),
            start_ticks: Some(9),
            unit: Some("gateway@a.service".into()),
            session: Some(1),
        };
        assert_eq!(all.words(), "systemd (pid 1, unit gateway@a.service)");
        assert_eq!(Starter { unit: None, ..all.clone() }.words(), "systemd (pid 1)");
        assert_eq!(Starter { name: None, ..all.clone() }.words(), "pid 1 (unit gateway@a.service)");
        assert_eq!(
            Starter { pid: None, name: None, ..all }.words(),
            format!("{} (unit gateway@a.service)", platform::UNNAMED_PROCESS)
        );
        assert_eq!(Starter::default().words(), platform::UNNAMED_PROCESS);
    }
}
