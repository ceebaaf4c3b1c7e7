//! Who was started by whom: one pass over `/proc/*/stat` (`proc_pid_stat(5)`, the field `ppid`).
//!
//! For a process that adopts its orphans (`PR_SET_CHILD_SUBREAPER`): then the chain of parents of everything that it
//! started leads to it, whatever session, group or descriptors they have.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read as _,
};

use super::{stat::Stat, system::proc_is_ours};

/// The living descendants of a process, without these and theirs; empty where there is no `/proc` of our own.
pub(crate) fn descendants_of(ancestor: u32, but: &[u32]) -> Vec<u32> {
    if !proc_is_ours() {
        return Vec::new();
    }
    let parents: HashMap<u32, (u32, bool)> = processes().collect();
    let is_wanted = |pid: u32| {
        let mut at = pid;
        // A chain that is longer than there are processes is none: they changed while they were read.
        for _ in 0..=parents.len() {
            if but.contains(&at) {
                return false;
            }
            match parents.get(&at) {
                Some((parent, _)) if *parent == ancestor => return true,
                Some((parent, _)) if *parent > 0 => at = *parent,
                _ => return false,
            }
        }
        false
    };
    let alive = parents.iter().filter(|(_, (_, ends))| !ends).map(|(pid, _)| *pid);
    alive.filter(|&pid| pid != ancestor && is_wanted(pid)).collect()
}

/// The children of this process, in some microseconds (`proc_tid_children(5)`); empty where the kernel does not tell.
pub(crate) fn children() -> Vec<u32> {
    if !proc_is_ours() {
        return Vec::new();
    }
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let numbers =
        |list: String| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>();
    lists.flat_map(numbers).collect()
}

/// Every process: its number, its parent's, and whether it has ended.
fn processes() -> impl Iterator<Item = (u32, (u32, bool))> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let mut line = [0; 2048];
        let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut line).ok()?;
        let stat = Stat::parse(&line[..length])?;
        Some((pid, (stat.parent, matches!(stat.letter, b'Z' | b'X' | b'x'))))
    })
}
