//! Any bytes in the place of `NAME.history`: at most 256 generations are kept, in order, and one more is added in any case.
#![no_main]

use std::{path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| incumbent_fuzz::scratch().join("a.history"));

/// The generation to be added, its id and time; how many good lines stand before the bytes.
type Input<'a> = (u64, [u8; 16], i64, u16, &'a [u8]);

fuzz_target!(|input: Input| {
    let (generation, id, started_at_us, good, bytes) = input;
    let mut file = Vec::new();
    let many = if good % 16 == 0 { good / 16 % 600 } else { good % 8 };
    for number in 0..many {
        let line = format!(
            r#"{{"generation":{number},"instance_id":"{:032x}","pid":1,"started_at":"2026-01-01T00:00:00Z"}}"#,
            u128::from_ne_bytes(id)
        );
        file.extend(line.bytes().chain([b'\n']));
    }
    file.extend(bytes);
    incumbent::fuzzing::read_history(&FILE, &file, (generation, id, started_at_us));
});
