//! Eight processes send messages, as many as they can, to one holder that answers each: how many a second.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
    time::Instant,
};

use incumbent::{Claim, Instance};

use crate::{
    ping,
    table::{self, Ended},
};

const SENDERS: usize = 8;
const EACH: usize = 10_000;
const TARGET: f64 = 10_000.0;

fn instance(dir: &Path) -> Instance {
    Instance::new("sends").unwrap().in_dir(dir).unwrap()
}

/// Answers every message with the number of all that came before it.
pub(crate) fn take(dir: &Path) {
    let Claim::Won(holder) = instance(dir).claim_blocking().unwrap() else { return };
    let mut messages = holder.messages();
    eprintln!("ready");
    let mut count: u64 = 0;
    while let Some(message) = messages.next_blocking() {
        message.answer(0, count.to_le_bytes());
        count += 1;
    }
}

/// Sends, and says how many were answered in their order.
pub(crate) fn send(dir: &Path) {
    let Claim::Lost(holder) = instance(dir).claim_blocking().unwrap() else { return };
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let mut last = None;
    for number in 0..EACH {
        let answer = holder.send_blocking(&[number.to_string().into()], dir, Vec::new()).unwrap();
        let at = u64::from_le_bytes(answer.body.try_into().unwrap());
        assert!(last < Some(at), "in their order");
        last = Some(at);
    }
    println!("sent");
}

pub(crate) fn measure() {
    let dir = tempfile::tempdir().unwrap();
    let holder = table::start_until(&mut ping::role("taker", dir.path()), "ready");
    let mut senders: Vec<(Ended, _)> = (0..SENDERS)
        .map(|_| {
            let mut sender = ping::role("sender", dir.path());
            let mut sender = Ended(sender.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
            let mut said = BufReader::new(sender.0.stdout.take().unwrap()).lines();
            assert_eq!(said.next().unwrap().unwrap(), "ready");
            (sender, said)
        })
        .collect();
    let spent_before = spent(&holder);
    let began = Instant::now();
    for (sender, _) in &mut senders {
        drop(sender.0.stdin.take());
    }
    for (_, said) in &mut senders {
        assert_eq!(said.next().unwrap().unwrap(), "sent");
    }
    #[allow(clippy::cast_precision_loss)]
    let (sent, seconds) = ((SENDERS * EACH) as f64, began.elapsed().as_secs_f64());
    let each = (spent(&holder) - spent_before) / sent / 1e3;
    let rate = sent / seconds;
    println!(
        "{SENDERS} senders over kept connections, {EACH} messages each, to one holder that answers each"
    );
    let missed = if rate >= TARGET { "" } else { "  MISSED" };
    println!("  {rate:.0} a second, {each:.1} µs of processor each at the holder; target {TARGET}{missed}\n");
}

/// Nanoseconds of processor, of all its threads.
fn spent(holder: &Ended) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", holder.0.id())).unwrap().flatten();
    tasks
        .map(|task| {
            let spent = std::fs::read_to_string(task.path().join("schedstat")).unwrap();
            spent.split(' ').next().unwrap().parse::<f64>().unwrap()
        })
        .sum()
}
