//! What the chaos does to places and processes from outside: file systems that get full or take nothing, clocks that are
//! set, processes that hardly get a processor. What cannot be had here is none, and said.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn runs(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn left_out<T>(what: &str) -> Option<T> {
    eprintln!("left out: {what}");
    None
}

/// A file system of the chaos's own.
pub struct Disk {
    at: PathBuf,
    image: Option<PathBuf>,
}

impl Disk {
    /// A small one, in memory, in which there is room for a whole history.
    pub fn small(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let options = ["-t", "tmpfs", "-o", "mode=0700,size=2m,nr_inodes=40", "none"];
        if nix::unistd::geteuid().is_root() && runs(Command::new("mount").args(options).arg(at)) {
            return Some(Self { at: at.to_owned(), image: None });
        }
        left_out("a tmpfs cannot be mounted here, so that no disk gets full")
    }

    /// One with a file system that can be frozen: what writes then waits, and cannot be killed.
    pub fn freezable(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let image = at.with_extension("image");
        File::create(&image).unwrap().set_len(8 << 20).unwrap();
        let is_made = nix::unistd::geteuid().is_root()
            && runs(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))
            && runs(Command::new("mount").args(["-o", "loop,noatime"]).arg(&image).arg(at));
        if is_made {
            return Some(Self { at: at.to_owned(), image: Some(image) });
        }
        left_out("an ext4 cannot be mounted here, so that no disk is frozen")
    }

    pub fn at(&self) -> &Path {
        &self.at
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        thaw(&self.at);
        runs(Command::new("umount").arg("--lazy").arg(&self.at));
        self.image.iter().for_each(|image| drop(fs::remove_file(image)));
    }
}

/// Writes until nothing more goes in; `names`: and until nothing more can be made.
pub fn fill(dir: &Path, names: bool) {
    for number in 0..64 {
        let Ok(mut file) = File::create(dir.join(format!("filler{number}"))) else { return };
        while file.write_all(&[0; 4096]).is_ok() {}
        if !names {
            return;
        }
    }
}

pub fn empty(dir: &Path) {
    for number in 0..64 {
        let _ = fs::remove_file(dir.join(format!("filler{number}")));
    }
}

pub fn freeze(dir: &Path) -> bool {
    runs(Command::new("fsfreeze").arg("-f").arg(dir))
}

pub fn thaw(dir: &Path) {
    runs(Command::new("fsfreeze").arg("-u").arg(dir));
}

/// A library that gives whoever is started with it a wall clock of its own (`clock.c`). None: there is no C compiler.
pub fn clock_library(dir: &Path) -> Option<PathBuf> {
    let (source, library) = (dir.join("clock.c"), dir.join("clock.so"));
    fs::write(&source, include_str!("clock.c")).unwrap();
    let flags = ["-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o"];
    if runs(Command::new("cc").args(flags).arg(&library).arg(&source)) {
        return Some(library);
    }
    left_out("`cc` does not work here, so that no clock is set")
}

/// Sets such a clock: so many seconds from the real one. The file is written in place, and seen at once.
pub fn set_clock(file: &Path, seconds: i64) {
    let mut file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(file).unwrap();
    file.write_all(&(seconds * 1_000_000_000).to_ne_bytes()).unwrap();
}

/// A group of processes that get two hundredths of a processor together.
pub struct Starving(PathBuf);

impl Starving {
    pub fn new() -> Option<Self> {
        let group = PathBuf::from(format!("/sys/fs/cgroup/cpu/incumbent-chaos-{}", std::process::id()));
        let is_made = fs::create_dir(&group).is_ok()
            && fs::write(group.join("cpu.cfs_period_us"), "100000").is_ok()
            && fs::write(group.join("cpu.cfs_quota_us"), "2000").is_ok();
        if is_made {
            return Some(Self(group));
        }
        let _ = fs::remove_dir(&group);
        left_out("no cgroup with a quota can be made here, so that nobody starves")
    }

    pub fn take(&self, pid: u32) -> bool {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).is_ok()
    }

    /// Lets all of them go.
    pub fn release(&self) {
        for pid in fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = fs::write("/sys/fs/cgroup/cpu/cgroup.procs", pid);
        }
    }
}

impl Drop for Starving {
    fn drop(&mut self) {
        self.release();
        let _ = fs::remove_dir(&self.0);
    }
}

/// Which programs can start another one under other conditions.
pub fn wrappers() -> Vec<(Vec<String>, u64)> {
    let slow = "rename,renameat,renameat2,unlink,unlinkat,bind,ftruncate,pwrite64,fcntl,flock,connect";
    let all: [(&[&str], u64); 4] = [
        (&["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e"], 0),
        (&["unshare", "--time", "--boottime", "100000"], 100_000),
        (&["prlimit", "--nofile=24:24"], 0),
        (&["chrt", "-i", "0"], 0),
    ];
    let mut can = Vec::new();
    for (words, ahead) in all {
        let mut words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        if words[0] == "strace" {
            // Each of these takes 20 ms longer.
            words.extend([
                format!("trace={slow}"),
                "-e".to_owned(),
                format!("inject={slow}:delay_enter=20000"),
            ]);
        }
        if runs(Command::new(&words[0]).args(&words[1..]).arg("true")) {
            can.push((words, ahead));
        } else {
            left_out::<()>(&format!("{} does not work here", words[0]));
        }
    }
    can
}
