//! `gateway run -- PROGRAM` at a terminal: PROGRAM reads it, Ctrl-C and Ctrl-Z reach both, and the shell's `fg` goes on.
//!
//! python3 plays the terminal and the shell: a new session on a pseudo-terminal, with `gateway` as its foreground job.
#![cfg(unix)] // only Unix has stopped jobs
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;

use gateway::{Ended, Place, Running};

/// What a person does: waits for words on the terminal, types, and looks how the job ends or stops.
const TERMINAL: &str = r"
import os, pty, select, signal, sys, time
seen = b''
def expect(words):
    global seen
    while words.encode() not in seen:
        if not select.select([terminal], [], [], 60)[0]:
            sys.exit('no `%s` in %r' % (words, seen))
        seen += os.read(terminal, 4096)
    seen = seen.split(words.encode(), 1)[1]
def type(keys):
    os.write(terminal, keys)
def state(pid):
    return open('/proc/%d/stat' % pid).read().rsplit(')', 1)[1].split()[0]
def ends():
    # What it still prints must be read, or it cannot end.
    global seen
    while True:
        pid, status = os.waitpid(job, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if select.select([terminal], [], [], 0.01)[0]:
            try:
                seen += os.read(terminal, 4096)
            except OSError:
                pass
job, terminal = pty.fork()
if job == 0:
    os.execv(sys.argv[1], ['gateway', 'run', '--'] + sys.argv[3:])
exec(sys.argv[2])
";

/// What the terminal's first process is.
const JOB: &str = "os.execv(sys.argv[1], ['gateway', 'run', '--'] + sys.argv[3:])";

/// Plays these steps with this program as PROGRAM; they tell what they see.
fn at_a_terminal(place: &Place, steps: &str, program: &[&str]) -> Ended {
    let mut python = std::process::Command::new("python3");
    python.args(["-c", TERMINAL, env!("CARGO_BIN_EXE_gateway"), steps]).args(program);
    python.env("GATEWAY_DIR", place.dir()).env("TERM", "dumb");
    Running::start(&mut python).end()
}

#[test]
fn the_program_reads_the_terminal() {
    let place = Place::new();
    let steps = "expect('name?'); type(b'ann\\n'); expect('hello ann'); print(ends())";
    let ended =
        at_a_terminal(&place, steps, &["sh", "-c", "echo name?; read name; echo hello $name; exit 7"]);
    assert_eq!((ended.code(), ended.stdout.as_str()), (0, "7\n"), "{ended:?}");
}

#[test]
fn ctrl_c_once_stops_gracefully_and_the_program_gets_it_once() {
    let place = Place::new();
    let steps =
        "expect('up'); type(b'\\x03'); expect('draining 1'); print(ends()); print(b'draining 2' in seen)";
    let program = "n=0; trap 'n=$((n+1)); echo draining $n' INT; echo up; \
                   while [ $n = 0 ]; do sleep 0.02; done; sleep 0.1; exit 0";
    let ended = at_a_terminal(&place, steps, &["sh", "-c", program]);
    assert_eq!((ended.code(), ended.stdout.as_str()), (0, "0\nFalse\n"), "{ended:?}");
}

#[test]
fn ctrl_c_twice_kills_at_once() {
    let place = Place::new();
    let steps = "expect('up'); type(b'\\x03'); expect('stopping: SIGINT'); type(b'\\x03'); print(ends())";
    let ended = at_a_terminal(&place, steps, &["sh", "-c", "trap '' INT TERM; echo up; sleep 1000"]);
    assert_eq!((ended.code(), ended.stdout.as_str()), (0, "137\n"), "{ended:?}");
}

#[test]
fn ctrl_z_stops_both_and_the_shells_fg_lets_both_go_on() {
    let place = Place::new();
    let program = "echo $$ > child; trap 'echo went on' CONT; echo is up; while :; do sleep 0.02; done";
    std::fs::write(place.dir().join("program"), program).unwrap();
    // D: it was stopped while it started a program, and waits for that, which was stopped too.
    // A shell with job control: a group whose parent is in no shell's session would not be stopped by the terminal.
    let steps = "
expect('READY> ')
type(b'stty -echo; $GATEWAY run -- sh program\\n')
expect('is up')
child = int(open('child').read())
type(b'\\x1a')
expect('Stopped')
expect('READY> ')
gateway = int(open('gateway.pid').read())
while state(child) not in 'TD' or state(gateway) != 'T':
    time.sleep(0)
type(b'fg\\n')
expect('went on')
type(b'\\x03')
expect('READY> ')
type(b'echo code $?; exit 9\\n')
expect('code 0')
print(ends())";
    let terminal = TERMINAL.replace(
        JOB,
        "os.environ['PS1'] = 'READY> '; os.execvp('bash', ['bash', '--norc', '--noprofile', '-i'])",
    );
    let mut python = std::process::Command::new("python3");
    python.args(["-c", &terminal, "", steps]).current_dir(place.dir()).env("TERM", "dumb");
    python.env("GATEWAY_DIR", place.dir()).env("GATEWAY", env!("CARGO_BIN_EXE_gateway"));
    let ended = Running::start(&mut python).end();
    assert_eq!((ended.code(), ended.stdout.as_str()), (0, "9\n"), "{ended:?}");
}

#[test]
fn ctrl_z_stops_a_program_that_does_not_read_the_terminal_too() {
    let place = Place::new();
    // D: as above. Its standard input is elsewhere, so that it leads a group of its own, and gateway passes Ctrl-Z on.
    let steps = "
expect('child ')
expect('\\n')
child = int(open(os.environ['GATEWAY_DIR'] + '/child').read())
type(b'\\x1a')
pid, status = os.waitpid(job, os.WUNTRACED)
print(os.WIFSTOPPED(status), os.getpgid(child) == child)
while state(child) not in 'TD':
    time.sleep(0)
os.killpg(job, signal.SIGCONT)
expect('went on')
type(b'\\x03')
print(ends())";
    let inner = "echo $$ > \"$GATEWAY_DIR/child\"; trap 'echo went on' CONT; echo child $$; while :; do sleep 0.02; done";
    let line = format!(
        "exec {} run -- sh -c '{}' < /dev/null",
        env!("CARGO_BIN_EXE_gateway"),
        inner.replace('\'', "'\\''")
    );
    let mut python = std::process::Command::new("python3");
    let terminal = TERMINAL.replace(JOB, "os.execv('/bin/sh', ['sh', '-c', sys.argv[1]])");
    python.args(["-c", &terminal, &line, steps]).env("GATEWAY_DIR", place.dir()).env("TERM", "dumb");
    let ended = Running::start(&mut python).end();
    assert_eq!((ended.code(), ended.stdout.as_str()), (0, "True True\n0\n"), "{ended:?}");
}
