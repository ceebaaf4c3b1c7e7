//! What the tiny programs share: `PROGRAM MODE DIR`. It says `holding` when it holds, and exits with 75 when it is refused.
//!
//! Modes: `acquire` exits at once; `hold` waits for ever; `fork` has a forked child that waits, too, and never executes
//! anything; `exec` has started a `sleep`.

use std::{io::Write, path::PathBuf, process::exit};

/// The mode, the directory, and a name of the directory's own.
pub fn place() -> (String, PathBuf, String) {
    let mut args = std::env::args().skip(1);
    let (Some(mode), Some(dir)) = (args.next(), args.next()) else {
        eprintln!("usage: PROGRAM acquire|hold|fork|exec DIR");
        exit(64)
    };
    let name = format!("peers-{}", dir.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    (mode, PathBuf::from(dir), name)
}

pub fn refused() -> ! {
    println!("already running");
    exit(75)
}

/// The rest of a holder's life; whatever holds is kept by the caller.
pub fn held(mode: &str) {
    println!("holding");
    let _ = std::io::stdout().flush();
    match mode {
        "acquire" => return,
        // SAFETY: the child calls nothing but `pause`.
        "fork" => drop(unsafe { libc::fork() }),
        "exec" => drop(std::process::Command::new("sleep").arg("1000").spawn()),
        _ => {}
    }
    loop {
        // SAFETY: takes no arguments.
        unsafe { libc::pause() };
    }
}
