//! What is done to places, clocks and processors: to each instance what its lot is.

use std::{os::unix::net::UnixStream, sync::Arc};

use super::{
    arena::{Arena, Lot},
    asking::harvest,
    checker::SECOND,
    deeds::{Doing, Tools},
    dice::Dice,
    places,
    witness::now,
};

/// What is done to such an instance, and how often beside the deeds to all.
pub fn to(lot: Lot) -> &'static [(u64, Doing)] {
    match lot {
        Lot::Clock => &[(12, jump)],
        Lot::Deleted => &[(16, delete)],
        Lot::Full => &[(10, fill)],
        Lot::Frozen => &[(10, freeze)],
        Lot::Starved => &[(8, flood), (8, starve)],
    }
}

fn delete(arena: &Arc<Arena>, dice: &mut Dice, _: &Tools) {
    let some: [&[&str]; 7] = [
        &["pid"],
        &["sock"],
        &["json"],
        &["history"],
        &["notify"],
        &["child"],
        &["pid", "sock", "json", "history"],
    ];
    let names = dice.pick(&some);
    let begun = now();
    let mut last = arena.deleted.lock().unwrap();
    // By one of the two what was left behind is found; without both it is not, which is written down as a limit.
    let other = if names.contains(&"child") { last.1 } else { last.0 };
    if (names.contains(&"child") || names.contains(&"json")) && begun < other + 8 * SECOND {
        return;
    }
    if names.contains(&"history") {
        harvest(arena);
    }
    for name in names {
        let _ = std::fs::remove_file(arena.file(name));
    }
    let done = now();
    if names.contains(&"child") {
        last.0 = done;
    } else if names.contains(&"json") {
        last.1 = done;
    }
    if names.contains(&"json") || names.contains(&"history") {
        arena.lossy.lock().unwrap().push((begun, done));
    }
    arena.did("deletions", &names.join(" "));
}

fn fill(arena: &Arc<Arena>, dice: &mut Dice, _: &Tools) {
    let names = dice.percent(50);
    let Some(turn) = arena.take_turn() else { return };
    let begun = now();
    let hindrance = arena.hinder("the disk was full");
    places::fill(&arena.dir, names);
    arena.did("full disks", if names { "and no names left" } else { "" });
    arena.later(dice.ms(200, 4000), move |arena| {
        places::empty(&arena.dir);
        arena.unhinder(hindrance);
        arena.lossy.lock().unwrap().push((begun, now()));
        arena.say("the disk has room");
        drop(turn);
    });
}

fn freeze(arena: &Arc<Arena>, dice: &mut Dice, _: &Tools) {
    let Some(turn) = arena.take_turn() else { return };
    let hindrance = arena.hinder("the disk took nothing");
    if places::freeze(&arena.dir) {
        arena.did("frozen disks", "");
    }
    arena.later(dice.ms(100, 3000), move |arena| {
        places::thaw(&arena.dir);
        arena.unhinder(hindrance);
        arena.say("the disk goes on");
        drop(turn);
    });
}

fn jump(arena: &Arc<Arena>, dice: &mut Dice, _: &Tools) {
    if arena.clock_library.is_none() {
        return;
    }
    let far = dice.pick(&[2, 60, 3600, 86_400, 40_000_000]);
    let seconds = i64::try_from(dice.below(far)).unwrap() - i64::try_from(far / 2).unwrap();
    places::set_clock(&arena.clock(), seconds);
    arena.did("clock jumps", &format!("{seconds} s"));
}

/// Hundreds that connect and say nothing.
fn flood(arena: &Arc<Arena>, dice: &mut Dice, _: &Tools) {
    let sock = arena.file("sock");
    let crowd: Vec<UnixStream> = (0..300).map_while(|_| UnixStream::connect(&sock).ok()).collect();
    arena.did("floods", &format!("of {}", crowd.len()));
    arena.later(dice.ms(100, 1500), move |_| drop(crowd));
}

fn starve(arena: &Arc<Arena>, dice: &mut Dice, tools: &Tools) {
    let (Some(holder), Some(group), Some(turn)) = (arena.holder(), tools.starving.clone(), arena.take_turn())
    else {
        return;
    };
    let since = now();
    let hindrance = arena.hinder("a holder hardly got a processor");
    if holder.pid().is_some_and(|pid| group.take(pid)) {
        arena.did("starved holders", &format!("#{}", holder.serial));
    }
    arena.later(dice.ms(200, 3000), move |arena| {
        group.release();
        holder.was_hindered(since);
        arena.unhinder(hindrance);
        drop(turn);
    });
}
