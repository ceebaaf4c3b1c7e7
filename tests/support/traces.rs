//! What a look may leave behind: everything that `stat` and the locks say of a directory and the files in it.

#![allow(dead_code)] // every test file uses its own part of it

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::os;

/// A file as it was.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Trace {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    times: [(i64, i64); 3],
    bytes: Option<String>,
    locks: Option<[Option<i32>; 2]>,
}

/// Everything in a directory, and itself under the empty name.
pub type Traces = BTreeMap<OsString, Trace>;

/// How everything is before a look; the access times are made so old that any read would renew them.
pub fn before(dir: &Path) -> Traces {
    let mut contents = Traces::new();
    read_contents(dir, &mut contents);
    let paths: Vec<PathBuf> = entries(dir).chain([dir.to_owned()]).collect();
    for path in &paths {
        age(path);
    }
    let mut traces: Traces =
        paths.iter().filter_map(|path| Some((name_in(dir, path), stat(path)?))).collect();
    for (name, content) in contents {
        traces.entry(name).and_modify(|trace| (trace.bytes, trace.locks) = (content.bytes, content.locks));
    }
    traces
}

/// How everything is after it; the times are taken before anything is listed or read.
pub fn after(dir: &Path) -> Traces {
    let mut traces: Traces = stat(dir).map(|trace| (OsString::new(), trace)).into_iter().collect();
    for path in entries(dir) {
        traces.insert(name_in(dir, &path), stat(&path).expect("it is there"));
    }
    read_contents(dir, &mut traces);
    traces
}

fn read_contents(dir: &Path, traces: &mut Traces) {
    for path in entries(dir) {
        let trace = traces.entry(name_in(dir, &path)).or_default();
        // Nothing but a regular file: a link would be followed.
        trace.bytes = path
            .symlink_metadata()
            .is_ok_and(|found| found.is_file())
            .then(|| String::from_utf8_lossy(&fs::read(&path).expect("it can be read")).into_owned());
        if path.extension().is_some_and(|end| end == "pid") {
            trace.locks = Some([os::INSTANCE, os::CLAIM].map(|byte| os::lock_owner_at(&path, byte)));
        }
    }
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir).into_iter().flatten().map(|entry| entry.expect("an entry").path())
}

fn name_in(dir: &Path, path: &Path) -> OsString {
    path.strip_prefix(dir).expect("it is in there").into()
}

fn stat(path: &Path) -> Option<Trace> {
    let found = fs::symlink_metadata(path).ok()?;
    Some(Trace {
        inode: found.ino(),
        mode: found.mode(),
        owner: (found.uid(), found.gid()),
        links: found.nlink(),
        times: [
            // The kernel itself notes a connection in the access time of the socket's name.
            if found.file_type().is_socket() { (0, 0) } else { (found.atime(), found.atime_nsec()) },
            (found.mtime(), found.mtime_nsec()),
            (found.ctime(), found.ctime_nsec()),
        ],
        ..Trace::default()
    })
}

/// Makes the access time older than the modification, so that a read would renew it even under `relatime`.
fn age(path: &Path) {
    if path.symlink_metadata().is_ok_and(|found| found.is_file() || found.is_dir()) {
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let times = fs::FileTimes::new().set_accessed(long_ago);
        File::open(path).and_then(|file| file.set_times(times)).expect("it is ours");
    }
}
