//! `gateway man`: one page, the subcommands included, made of what `--help` knows and of the lists below.

use std::{fmt::Write as _, io};

use clap::{Arg, Command, CommandFactory as _};
use clap_mangen::Man;
use incumbent::Error;

use crate::{args::Cli, exit, output};

const EXIT_CODES: &str = r".SH EXIT STATUS
.TP 10
0
done; of \fBstatus\fR: it runs (starting, ready, draining); of \fBrun\fR: stopped when asked, or PROGRAM's own
.TP 10
1
\fBstatus\fR: nobody; the last one crashed
.TP 10
3
\fBstatus\fR, \fBping\fR, \fBsend\fR: nobody
.TP 10
4
\fBstatus\fR, \fBping\fR, \fBsend\fR: no answer, or it can't be told
.TP 10
64
usage
.TP 10
69
\fBsend\fR: the holder takes no messages
.TP 10
70
\fBrun\fR: did not end within the grace, and was ended by its own answering thread
.TP 10
73
the directory or its files can't be used; \fBrun \-\-listen\fR: an address can't be listened at
.TP 10
74
\fBsend\fR: the holder could not print the message
.TP 10
75
another holds it, is claiming, or does not make room, or what the last PROGRAM left behind is still there; \fBrun \-\-replace=overlap\fR: PROGRAM was not ready, and the one that runs goes on; \fBrun \-\-max\-starts\fR: too many starts; \fBstop\fR, \fBwait\fR: still there when the time was up, or busy (\fB\-\-if\-idle\fR)
.TP 10
76
\fBrun\fR: another process holds the instance now
.TP 10
77
not allowed
.TP 10
79
\fBrun\fR: made room for another, who was gone by then, or ends with this process because that is process 1: nobody runs
.TP 10
126, 127
\fBrun\fR: PROGRAM can't be run, can't be found
.TP 10
128+N
\fBrun\fR: PROGRAM died of signal N unasked (137 also when it was killed after its grace, 134 when it was hung)
.TP 10
130
interrupted with Ctrl-C, as the shell says it (not \fBrun\fR, which stops, and \fBping\fR, which sums up)
";

const AROUND: &str = r".SH ENVIRONMENT
.TP
\fBGATEWAY_NAME\fR, \fBGATEWAY_DIR\fR
stand for \fB\-\-name\fR and \fB\-\-dir\fR
.TP
\fBGATEWAY_LOG\fR
a level (\fBerror\fR, \fBwarn\fR, \fBinfo\fR, \fBdebug\fR, \fBtrace\fR): tells on the standard error what is done
.TP
\fBNOTIFY_SOCKET\fR, \fBWATCHDOG_USEC\fR, \fBWATCHDOG_PID\fR
of a service manager: what it is to be told, as in \fBsd_notify\fR(3). PROGRAM gets others of the same names
.TP
\fBLISTEN_FDS\fR, \fBLISTEN_PID\fR, \fBLISTEN_FDNAMES\fR
what PROGRAM gets of \fB\-\-listen\fR, as in \fBsd_listen_fds\fR(3); those of \fBgateway\fR itself it does not get
.TP
\fBNO_COLOR\fR, \fBCLICOLOR\fR
no colour when set, when 0
.SH FILES
In \fB$XDG_STATE_HOME/gateway\fR or \fB~/.local/state/gateway\fR, unless \fB\-\-dir\fR says otherwise:
.TP
\fINAME\fR.pid
the holder's pid, for people; and the locks that prove that it lives
.TP
\fINAME\fR.sock
where it answers
.TP
\fINAME\fR.notify
where PROGRAM says how it is (\fBNOTIFY_SOCKET\fR); \fINAME\fR.notify2 and so on while one gets ready beside another
.TP
\fINAME\fR.json, \fINAME\fR.history
what the last holder wrote about itself, and how the ones before it ended
.TP
\fINAME\fR.log
the output of a \fBrun \-\-detach\fR, unless it was redirected to a file
.TP
\fINAME\fR.child
what PROGRAM, and all that it starts, keep locked: the next PROGRAM starts when nobody does
";

/// Prints the man page.
pub(crate) fn print() -> Result<u8, Error> {
    let page = page().map_err(|source| Error::Io { doing: "make", path: "the man page".into(), source })?;
    output::say(&String::from_utf8_lossy(&page))?;
    Ok(exit::OK)
}

fn page() -> io::Result<Vec<u8>> {
    let mut command = Cli::command();
    command.build();
    let whole = Man::new(command.clone());
    let mut page = Vec::new();
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    page.extend(format!(".SH SYNOPSIS\n{}", synopsis(&command)).into_bytes());
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    page.extend(b".SH COMMANDS\n");
    for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
        page.extend(section(one)?);
    }
    page.extend(EXIT_CODES.as_bytes());
    page.extend(AROUND.as_bytes());
    Ok(page)
}

/// How a command is called, with the values of its options, on one line.
fn synopsis(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let own = |arg: &&Arg| !matches!(arg.get_id().as_str(), "help" | "version");
    let is_top = command.has_subcommands();
    let mut line = format!("\\fB{}\\fR", roff(name));
    for arg in command.get_arguments().filter(own).filter(|arg| is_top || !arg.is_global_set()) {
        let shown = match arg.get_long() {
            Some(long) => format!("\\fB\\-\\-{}\\fR{}", roff(long), value(arg, arg.is_require_equals_set())),
            None => match arg.get_short() {
                Some(short) => format!("\\fB\\-{short}\\fR{}", value(arg, false)),
                None => operand(arg),
            },
        };
        if matches!(arg.get_id().as_str(), "ready" | "gone") {
            let before = if arg.get_id() == "ready" { " " } else { "|" };
            let _ = write!(line, "{before}{shown}"); // one of the two must be there
            continue;
        }
        let _ = if arg.is_required_set() { write!(line, " {shown}") } else { write!(line, " [{shown}]") };
    }
    if is_top {
        line.push_str(" \\fICOMMAND\\fR");
    }
    line.push('\n');
    line
}

/// The value of an option, as the synopsis has it.
fn value(arg: &Arg, equals: bool) -> String {
    if !arg.get_action().takes_values() {
        return String::new();
    }
    let name = arg.get_value_names().and_then(<[_]>::first).map_or("VALUE", |name| name.as_str());
    if equals { format!("[=\\fI{name}\\fR]") } else { format!(" \\fI{name}\\fR") }
}

/// What is no option.
fn operand(arg: &Arg) -> String {
    let name = arg.get_value_names().and_then(<[_]>::first).map_or("ARG", |name| name.as_str());
    match name {
        "PROGRAM" => "\\-\\- \\fIPROGRAM\\fR \\fIARGS\\fR...".to_owned(),
        "ARGS" => "\\fIARGS\\fR...".to_owned(),
        name => format!("\\fI{name}\\fR"),
    }
}

/// Text with its hyphens as roff wants them.
fn roff(text: &str) -> String {
    text.replace('-', "\\-")
}

/// A command: its line, what it does, and its own options.
fn section(command: &Command) -> io::Result<Vec<u8>> {
    let own = command.clone().mut_args(|arg| {
        let shared = arg.is_global_set() || matches!(arg.get_id().as_str(), "help" | "version");
        arg.hide(shared)
    });
    let man = Man::new(own);
    let mut text = Vec::new();
    text.extend(synopsis(command).into_bytes());
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    // The three become paragraphs of one section.
    let body = text.replace(".SH DESCRIPTION\n", ".PP\n").replace(".SH OPTIONS\n", "");
    Ok(format!(".SS {}\n{body}", command.get_name()).into_bytes())
}
