//! Links the unwinder into `gateway` instead of having it loaded: a library to find, map and relocate is an eighth of the
//! time that a `gateway status` takes. Only for Linux with glibc, built where it runs, and only where the C compiler has
//! the library as an archive (`libgcc_eh.a`, which comes with gcc); elsewhere `gateway` is linked as ever, and so is
//! every program that uses the library.

use std::{env, fs, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CC");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|is| is == value);
    let is_at_home = env::var("HOST") == env::var("TARGET");
    if !(is_at_home && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu")) {
        return;
    }
    let (Some(unwinder), Some(rest)) = (archive("libgcc_eh.a"), archive("libgcc.a")) else { return };
    let Ok(out) = env::var("OUT_DIR") else { return };
    // std asks for `-lgcc_s`; a script of this name leads the linker to the archives.
    let script = Path::new(&out).join("libgcc_s.so");
    if fs::write(script, format!("GROUP ( {unwinder} {rest} )\n")).is_ok() {
        println!("cargo::rustc-link-arg-bin=gateway=-L{out}");
    }
}

/// Where the C compiler has this archive; it answers with the bare name where it has none.
fn archive(name: &str) -> Option<String> {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let answer = Command::new(compiler).arg(format!("-print-file-name={name}")).output().ok()?;
    let path = String::from_utf8(answer.stdout).ok()?.trim().to_owned();
    (Path::new(&path).is_absolute() && !path.contains(char::is_whitespace)).then_some(path)
}
