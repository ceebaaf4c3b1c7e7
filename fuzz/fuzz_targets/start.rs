//! Whatever stands in a dead holder's record, history and pid file: it can be looked at, the next holder starts, with a higher
//! generation, and what it writes can be read.
#![no_main]

use std::{path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;

static DIR: LazyLock<PathBuf> = LazyLock::new(incumbent_fuzz::scratch);

fuzz_target!(|bytes: &[u8]| {
    // Three files, one after the other, so that what the other targets found can be a seed.
    let mut files = bytes.splitn(3, |byte| *byte == 0).chain([&[][..]; 3]);
    let mut next = || files.next().unwrap_or_default();
    // The directory's own name is not known to a seed.
    let dir = DIR.to_str().expect("UTF-8");
    let record = String::from_utf8_lossy(next()).replace("/DIR", dir).into_bytes();
    incumbent::fuzzing::start_over(&DIR, &record, next(), next());
});
