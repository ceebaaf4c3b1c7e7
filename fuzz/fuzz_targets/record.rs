//! Any bytes in the place of `NAME.json` are a record or one sentence, and a record is written as it was read.
#![no_main]

use std::{path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| incumbent_fuzz::scratch().join("a.json"));

fuzz_target!(|bytes: &[u8]| incumbent::fuzzing::read_record(&FILE, bytes));
