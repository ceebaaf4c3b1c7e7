//! The checker can fail: each fault, in a case that is right but for it.
#![allow(clippy::unwrap_used)]

use super::{
    checker::{BOUND, Case, History, Reign, SECOND, check},
    witness::{Said, read},
};

fn said(at: u64, serial: u32, what: &str) -> Said {
    Said { at: at * SECOND, serial, what: what.to_owned(), pid: 1000 + serial }
}

fn reign(serial: u32, held: u64, ended: u64) -> Reign {
    Reign {
        serial,
        generation: u64::from(serial) * 10,
        held: held * SECOND,
        ended: ended * SECOND,
        may_have_ended: vec!["released", "replaced"],
        is_forced: false,
        is_slow: false,
        hindered: Vec::new(),
    }
}

/// Three that hold one after the other; the second one is killed.
fn right() -> Case {
    let mut reigns = vec![reign(1, 10, 20), reign(2, 21, 30), reign(3, 30, 40)];
    reigns[1].may_have_ended = vec!["crashed"];
    let ends = [(10, "replaced"), (20, "crashed"), (30, "released")];
    Case {
        name: "a".to_owned(),
        from: 10 * SECOND,
        until: 40 * SECOND,
        said: vec![
            said(10, 1, "start"),
            said(19, 1, "end"),
            said(22, 2, "start"),
            said(31, 3, "start"),
            said(39, 3, "end"),
        ],
        reigns,
        history: ends.into_iter().map(|(generation, end)| (generation, vec![Some(end.to_owned())])).collect(),
        ..Case::default()
    }
}

#[track_caller]
fn fails(case: &Case, words: &str) {
    let faults = check(case).faults;
    assert!(faults.len() == 1 && faults[0].contains(words), "{faults:?}");
}

#[test]
fn what_is_right_has_no_fault() {
    let finding = check(&right());
    assert!(finding.faults.is_empty(), "{finding:?}");
    assert_eq!((finding.witnesses, finding.longest_gap), (3, SECOND));
}

#[test]
fn a_lock_that_was_not_to_be_had_is_a_fault() {
    let mut case = right();
    case.said.insert(2, said(20, 2, "OVERLAP"));
    fails(&case, "met another");
}

#[test]
fn a_witness_that_ends_after_the_next_began_is_a_fault() {
    let mut case = right();
    case.said.swap(1, 2);
    assert!(check(&case).faults.iter().any(|fault| fault.contains("ended in the time of")));
}

#[test]
fn a_generation_out_of_order_and_one_that_comes_twice_are_faults() {
    for generation in [5, 20] {
        let mut case = right();
        case.reigns[2].generation = generation;
        assert!(check(&case).faults.iter().any(|fault| fault.contains("out of order")));
    }
}

#[test]
fn a_witness_without_a_holder_is_a_fault() {
    let mut case = right();
    case.said.push(said(39, 4, "start"));
    fails(&case, "nobody held");
}

#[test]
fn a_gap_is_a_fault_unless_all_but_the_bound_of_it_is_explained() {
    let mut case = right();
    case.reigns.pop();
    case.said.truncate(3);
    fails(&case, "nobody held for 10.00 s");
    let explained = |from, to| Case { hindered: vec![((from, to), "stopped")], ..case.clone() };
    assert!(check(&explained(30 * SECOND, 40 * SECOND - BOUND)).faults.is_empty());
    fails(&explained(30 * SECOND, 40 * SECOND - BOUND - 1), "stopped");
    assert!(check(&explained(34 * SECOND, 35 * SECOND)).faults.is_empty(), "in the middle: two short ones");
}

#[test]
fn a_program_that_does_not_begin_is_a_fault_unless_its_holder_was_stopped() {
    let mut case = right();
    case.said.remove(2);
    fails(&case, "had not begun 9.00 s after");
    case.reigns[1].hindered = vec![(22 * SECOND, 29 * SECOND)];
    assert!(check(&case).faults.is_empty());
}

#[test]
fn a_generation_that_the_history_lacks_is_a_fault_unless_it_was_lost() {
    let mut case = right();
    case.history.remove(&20);
    fails(&case, "lacks");
    for (from, to, is_explained) in
        [(10, 11, false), (25, 26, false), (26, 28, true), (32, 33, true), (33, 34, false)]
    {
        case.lossy = vec![(from * SECOND, to * SECOND)];
        assert_eq!(check(&case).faults.is_empty(), is_explained, "{from} to {to}");
    }
    case.lossy = vec![(25 * SECOND, 26 * SECOND)];
    case.reigns[1].hindered = vec![(26 * SECOND, 28 * SECOND)];
    assert!(check(&case).faults.is_empty(), "it was stopped, and could not put it back");
}

#[test]
fn an_end_that_does_not_follow_two_ends_and_none_are_faults() {
    let told = |ends: &[Option<&str>]| {
        let mut history: History = right().history;
        history.insert(20, ends.iter().map(|end| end.map(str::to_owned)).collect());
        Case { history, ..right() }
    };
    fails(&told(&[Some("replaced")]), "says `replaced`");
    fails(&told(&[Some("deposed")]), "says `deposed`");
    fails(&told(&[None]), "no end");
    assert!(check(&told(&[None, Some("crashed")])).faults.is_empty(), "it was asked while that ran");
    assert!(check(&told(&[Some("crashed"), Some("released")])).faults[0].contains("tells"));
    let mut forced = told(&[Some("released"), Some("crashed")]);
    forced.reigns[1].is_forced = true;
    assert!(check(&forced).faults[0].contains("tells"));
    forced.reigns[1].may_have_ended = vec!["replaced"];
    forced.history.insert(20, ["released", "replaced"].map(|end| Some(end.to_owned())).to_vec());
    assert!(check(&forced).faults.is_empty(), "who forced it said so when it held");
}

#[test]
fn a_torn_line_of_the_log_is_seen() {
    assert_eq!(read("5 1 start 7\n6 1 end 7\n").unwrap().len(), 2);
    assert!(read("5 1 start 7\n6 1 e").is_none());
}
