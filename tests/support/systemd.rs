//! A real systemd, as process 1 of namespaces of its own (`systemd.sh`), and commands in them.
#![allow(dead_code)] // every test file uses a part of it

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use crate::gateway::{Ended, Running, WATCHDOG};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/systemd.sh");
/// Where the units keep their state; it is a place of this systemd's own.
const STATE: &str = "/var/lib/gateway/bot";
/// What every unit needs to be there; nothing is to be done for them.
const TARGETS: [&str; 6] = ["default", "sysinit", "basic", "shutdown", "multi-user", "umount"];

/// A systemd that runs, and ends with this value.
pub(crate) struct Systemd {
    dir: tempfile::TempDir,
    process: Option<Running>,
    /// Process 1 in there, as it is called out here.
    pid: String,
}

impl Systemd {
    /// Starts one with the units that are to be in it; none, and why it is said, where that is not possible.
    pub(crate) fn start(units: &[(&str, &str)]) -> Option<Self> {
        let has = |program: &str| {
            let quiet =
                Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            quiet.is_ok_and(|status| status.success())
        };
        if !nix::unistd::geteuid().is_root()
            || !["systemctl", "unshare", "nsenter", "setpriv"].into_iter().all(has)
        {
            let _ = writeln!(
                std::io::stderr(),
                "left out: a systemd of its own needs root, systemd and util-linux"
            );
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("units")).unwrap();
        for target in TARGETS {
            let unit = "[Unit]\nDefaultDependencies=no\n";
            fs::write(dir.path().join(format!("units/{target}.target")), unit).unwrap();
        }
        for (name, text) in units {
            let path = dir.path().join("units").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let notices = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        notices.set_read_timeout(Some(WATCHDOG)).unwrap();
        let mut command = Command::new(SCRIPT);
        command.arg(dir.path()).env("NOTIFY_SOCKET", dir.path().join("notify"));
        let process = Running::start_with_stdout(&mut command, Stdio::null());
        let outside = process.pid();
        let mut systemd = Self { dir, process: Some(process), pid: String::new() };
        let mut said = [0; 4096];
        loop {
            match notices.recv(&mut said) {
                Ok(count) if said[..count].starts_with(b"READY=1") => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("systemd did not come up: {error}"),
            }
        }
        let children = fs::read_to_string(format!("/proc/{outside}/task/{outside}/children")).unwrap();
        children.trim().clone_into(&mut systemd.pid);
        Some(systemd)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a command in there, as somebody who logged in would: it is no part of any unit.
    pub(crate) fn start_in(&self, command: &[&str]) -> Running {
        let mut inside = Command::new("nsenter");
        inside.args(["-t", &self.pid, "-m", "-p", "-n", "-u", "-i", "-C", "--"]).args(command);
        inside.env("GATEWAY_NAME", "bot").env("GATEWAY_DIR", STATE).env("SYSTEMD_PAGER", "");
        Running::start(&mut inside)
    }

    pub(crate) fn gateway(&self, args: &[&str]) -> Running {
        let program = [env!("CARGO_BIN_EXE_gateway")];
        self.start_in(&[&program, args].concat())
    }

    pub(crate) fn finish(&self, args: &[&str]) -> Ended {
        self.gateway(args).end()
    }

    /// The record of the holder.
    pub(crate) fn record(&self) -> String {
        self.start_in(&["cat", &format!("{STATE}/bot.json")]).end().stdout
    }

    pub(crate) fn systemctl(&self, args: &[&str]) -> Ended {
        self.start_in(&[&["systemctl"], args].concat()).end()
    }

    /// Waits until a unit has ended for good: `inactive` or `failed`; before it is started again it is `activating`.
    pub(crate) fn ends_for_good(&self, unit: &str) -> String {
        self.until(unit, "ActiveState", |state| matches!(state, "inactive" | "failed"))
    }

    /// Waits until systemd says something of a unit. It is asked again and again, because it tells such things on a bus,
    /// which is not here.
    pub(crate) fn until(&self, unit: &str, property: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + WATCHDOG / 2;
        loop {
            let value = self.property(unit, property);
            if is_so(&value) {
                return value;
            }
            assert!(Instant::now() < deadline, "{property} of {unit} is {value}");
        }
    }

    /// What systemd says of a unit.
    pub(crate) fn property(&self, unit: &str, property: &str) -> String {
        self.systemctl(&["show", unit, "-P", property]).stdout.trim().to_owned()
    }

    fn control_group(&self) -> Option<PathBuf> {
        let pid = self.process.as_ref()?.pid();
        let name = format!("incumbent-test-{pid}");
        ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .into_iter()
            .map(|root| Path::new(root).join(&name))
            .find(|it| it.exists())
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let group = self.control_group();
        drop(self.process.take());
        if let Some(group) = group {
            // All in there got SIGKILL with their process 1, and are gone as soon as the kernel is done with them.
            let deadline = Instant::now() + WATCHDOG;
            while group.exists() && Instant::now() < deadline {
                remove_groups(&group);
                std::thread::yield_now();
            }
        }
    }
}

/// Says that nothing is tested here.
pub(crate) fn left_out() {
    let _ = writeln!(std::io::stderr(), "left out: a systemd of its own needs root, systemd and util-linux");
}

fn remove_groups(group: &Path) {
    for below in fs::read_dir(group).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&below.path());
        }
    }
    let _ = fs::remove_dir(group);
}
