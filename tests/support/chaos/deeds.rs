//! The deeds: what is done to an instance, by the dice, one after the other and some at once. What is done to places,
//! clocks and processors is in `harm.rs`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use nix::sys::signal::Signal;

use super::{
    arena::{Arena, Lot, text_of},
    asking::ask,
    dice::Dice,
    harm,
    places::Starving,
    start::{Deed, Order, Start},
    witness::{self, Manner, now},
};

/// What deeds are done with.
pub struct Tools {
    pub wrappers: Vec<(Vec<String>, u64)>,
    pub starving: Option<Arc<Starving>>,
}

/// More starts than this do not run at once; these are few, so that each gets somewhere.
const MOST: usize = 7;

pub type Doing = fn(&Arc<Arena>, &mut Dice, &Tools);

const TO_ALL: [(u64, Doing); 17] = [
    (6, |arena, dice, tools| start(arena, dice, tools, &[])),
    (6, |arena, dice, tools| start(arena, dice, tools, &["--wait=2s"])),
    (12, |arena, dice, tools| start(arena, dice, tools, &["--replace"])),
    (4, |arena, dice, tools| start(arena, dice, tools, &["--replace", "--force"])),
    (3, |arena, dice, tools| start(arena, dice, tools, &["--replace", "--wait=3s"])),
    (4, |arena, dice, tools| start(arena, dice, tools, &["--detach", "--replace"])),
    (3, |arena, dice, tools| start(arena, dice, tools, &["--detach", "--wait=2s"])),
    (5, |arena, dice, _| asks(arena, dice, &["stop"])),
    (2, |arena, dice, _| asks(arena, dice, &["stop", "--force"])),
    (10, |arena, _, _| kill_holder(arena)),
    (5, |arena, dice, _| kill_witness(arena, dice)),
    (5, kill_contender),
    (8, stop_contender),
    (8, suspend_holder),
    (4, suspend_witness),
    (5, terminate_holder),
    (6, look),
];

/// Does deeds until the chaos is over.
pub fn disturb(arena: &Arc<Arena>, mut dice: Dice, tools: &Tools) {
    let mut deeds = TO_ALL.to_vec();
    deeds.extend_from_slice(harm::to(arena.lot));
    while arena.shared.over.pause(dice.ms(100, 700)) {
        dice.weighed(&deeds)(arena, &mut dice, tools);
    }
}

/// There is always one that wants to hold, and whom nobody hinders before it does.
pub fn supervise(arena: &Arc<Arena>, mut dice: Dice) {
    while !arena.shared.over.is() {
        let mut order = Order::new(&["--wait"]);
        settle(arena, &mut dice, &mut order);
        let start = Start::spawn(arena, order);
        arena.shared.count("starts: supervised");
        while !start.ends_within(Duration::from_secs(3600)) {}
        if start.state().held.is_none() {
            arena.shared.over.pause(Duration::from_millis(100));
        }
    }
}

/// One more after all others: what the last ones left behind has ended when it begins.
pub fn sweep(arena: &Arc<Arena>) {
    let mut order = Order::new(&["--grace", "200ms"]);
    order.manner = Manner { stops_after: Some(0), ends_after: Some(1), has_family: false };
    if !Start::spawn(arena, order).ends_within(Duration::from_secs(60)) {
        arena.fault("the last one does not end");
    }
}

/// Graces are short, so that there is more than waiting; [`super::checker::LEFTOVERS`] counts on them.
fn settle(arena: &Arena, dice: &mut Dice, order: &mut Order) {
    order.options.extend(["--grace".to_owned(), format!("{}ms", 100 + dice.below(1100))]);
    let slowly = Some(1 + dice.below(800));
    order.manner = Manner {
        stops_after: *dice.weighed(&[(60, Some(0)), (15, slowly), (10, None)]),
        ends_after: dice.percent(15).then(|| 200 + dice.below(3000)),
        // Who has no `NAME.child` any more is not found by it: a limit that is written down.
        has_family: dice.percent(10) && arena.lot != Lot::Deleted,
    };
}

fn start(arena: &Arc<Arena>, dice: &mut Dice, tools: &Tools, options: &[&str]) {
    let mut order = Order::new(options);
    settle(arena, dice, &mut order);
    if dice.percent(20) && !tools.wrappers.is_empty() {
        let (under, ahead) = dice.pick(&tools.wrappers);
        (order.under, order.ahead) = (under, ahead);
    }
    if arena.starts().iter().filter(|start| start.pid().is_some()).count() < MOST {
        let under = order.under.first().map_or_else(String::new, |under| format!(" under {under}"));
        arena.shared.count(&format!("starts: {}{under}", options.join(" ")));
        Start::spawn(arena, order);
    }
}

fn asks(arena: &Arc<Arena>, dice: &mut Dice, words: &[&str]) {
    let mut words = words.to_vec();
    let grace = format!("{}ms", 50 + dice.below(1000));
    if dice.percent(50) {
        words.extend(["--grace", &grace]);
    }
    ask(arena, &words, &[0, 4, 75]);
}

fn look(arena: &Arc<Arena>, dice: &mut Dice, _: &Tools) {
    let looks: [&[&str]; 4] =
        [&["status", "--json"], &["doctor"], &["ping", "-c", "2", "-i", "10ms"], &["status"]];
    ask(arena, dice.pick(&looks), &[0, 1, 3, 4]);
}

fn kill_holder(arena: &Arc<Arena>) {
    let Some(holder) = arena.holder() else { return };
    if holder.signal(Signal::SIGKILL, Some(Deed::Killed)) {
        arena.did("kills: holder", &format!("#{}", holder.serial));
    }
}

fn terminate_holder(arena: &Arc<Arena>, dice: &mut Dice, _: &Tools) {
    let Some(holder) = arena.holder() else { return };
    let signal = dice.pick(&[Signal::SIGTERM, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    if holder.signal(signal, Some(Deed::Asked)) {
        arena.did("signals to a holder", &format!("#{} {signal}", holder.serial));
    }
}

/// The witness of the holder, or what that started; as long as its parent is seen, its number is its own.
fn relative(arena: &Arena, holder: &Start, what: &str, parents: &[u32]) -> Option<u32> {
    let said = witness::read(&text_of(&arena.log()))?;
    let pid = said.iter().rev().find(|said| said.serial == holder.serial && said.what == what)?.pid;
    let status = text_of(&PathBuf::from(format!("/proc/{pid}/status")));
    let parent: u32 = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    parents.contains(&parent).then_some(pid)
}

fn signal(pid: u32, signal: Signal) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()), signal).is_ok()
}

fn kill_witness(arena: &Arc<Arena>, dice: &mut Dice) {
    let Some(holder) = arena.holder() else { return };
    let Some(gateway) = holder.pid() else { return };
    let Some(pid) = relative(arena, &holder, "start", &[gateway]) else { return };
    let spares = dice.percent(50);
    if let Some(family) = relative(arena, &holder, "family", &[pid]).filter(|_| spares) {
        if signal(family, Signal::SIGKILL) {
            arena.did("kills: grandchild", &format!("#{} pid {family}", holder.serial));
        }
        return;
    }
    holder.state().deeds.push((now(), Deed::WitnessKilled));
    if signal(pid, Signal::SIGKILL) {
        arena.did("kills: PROGRAM", &format!("#{} pid {pid}", holder.serial));
    }
}

fn suspend_witness(arena: &Arc<Arena>, dice: &mut Dice, _: &Tools) {
    let Some(holder) = arena.holder() else { return };
    let Some(pid) = holder.pid().and_then(|gateway| relative(arena, &holder, "start", &[gateway])) else {
        return;
    };
    if signal(pid, Signal::SIGSTOP) {
        arena.did("stopped: PROGRAM", &format!("#{} pid {pid}", holder.serial));
        let since = now();
        arena.later(dice.ms(50, 2000), move |arena| {
            holder.was_hindered(since);
            if holder.pid().and_then(|gateway| relative(arena, &holder, "start", &[gateway])) == Some(pid) {
                signal(pid, Signal::SIGCONT);
            }
        });
    }
}

fn suspend_holder(arena: &Arc<Arena>, dice: &mut Dice, _: &Tools) {
    let Some(holder) = arena.holder() else { return };
    // Sometimes for longer than a claim tries.
    let time = if dice.percent(10) { dice.ms(5000, 7000) } else { dice.ms(50, 2500) };
    if holder.signal(Signal::SIGSTOP, None) {
        arena.did("stopped: holder", &format!("#{} for {time:?}", holder.serial));
        let since = now();
        arena.later(time, move |arena| {
            holder.was_hindered(since);
            holder.signal(Signal::SIGCONT, None);
            arena.say(&format!("#{} goes on", holder.serial));
        });
    }
}

/// Starts one, and lets it come so far.
fn contender(arena: &Arc<Arena>, dice: &mut Dice) -> Arc<Start> {
    let options: [&[&str]; 4] = [&[], &["--wait=2s"], &["--replace"], &["--replace", "--force"]];
    let mut order = Order::new(dice.pick(&options));
    settle(arena, dice, &mut order);
    let start = Start::spawn(arena, order);
    arena.shared.over.pause(Duration::from_micros(dice.below(30_000)));
    start
}

fn kill_contender(arena: &Arc<Arena>, dice: &mut Dice, _: &Tools) {
    let start = contender(arena, dice);
    if start.signal(Signal::SIGKILL, Some(Deed::Killed)) {
        arena.did("kills: contender", &format!("#{}", start.serial));
    }
}

fn stop_contender(arena: &Arc<Arena>, dice: &mut Dice, _: &Tools) {
    let start = contender(arena, dice);
    let since = now();
    let hindrance = arena.hinder("a contender was stopped, maybe with a lock in hand");
    if start.signal(Signal::SIGSTOP, None) {
        arena.did("stopped: contender", &format!("#{}", start.serial));
    }
    let is_killed = dice.percent(30);
    arena.later(dice.ms(50, 2500), move |arena| {
        start.was_hindered(since);
        let (signal, deed) =
            if is_killed { (Signal::SIGKILL, Some(Deed::Killed)) } else { (Signal::SIGCONT, None) };
        start.signal(signal, deed);
        arena.say(&format!("#{} gets {signal}", start.serial));
        arena.unhinder(hindrance);
    });
}
