//! A name that is accepted is what the documentation says, and gives paths inside the directory, each its own; what is
//! refused is said in one line that moves no cursor.
#![no_main]

use std::{collections::BTreeSet, path::Path};

use incumbent::{Instance, fuzzing, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &[u8])| {
    let (name, secret) = input;
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = name.len() <= 64
        && name.as_bytes().first().is_some_and(|first| letter(*first))
        && name.bytes().all(|byte| letter(byte) || b"._-".contains(&byte));
    let dir = Path::new("/some/dir");
    match fuzzing::paths(name, dir) {
        Some(paths) => {
            assert!(good, "{name:?}");
            assert!(paths.iter().all(|path| path.parent() == Some(dir) && path.components().count() == 4));
            assert!(paths.iter().all(|path| path.file_name().is_some_and(|file| file.len() <= 255)));
            let count = paths.len();
            assert_eq!(paths.into_iter().collect::<BTreeSet<_>>().len(), count);
        }
        None => {
            assert!(!good, "{name:?}");
            let error = Instance::new(name).expect_err("refused").to_string();
            assert_eq!(text::shown(&error), error);
        }
    }
    if let Ok(scoped) = Instance::scoped(name, secret) {
        assert!(good && name.len() <= 31);
        let digest = scoped.name().strip_prefix(name).expect("the scope");
        assert!(
            digest.len() == 33
                && (secret.len() < 6 || !digest.as_bytes().windows(secret.len()).any(|it| it == secret))
        );
    }
});
