//! `gateway man`: one page, the subcommands included, made of what `--help` knows and of the lists below.

use std::io;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use incumbent::Error;

use crate::{args::Cli, exit, output};

const EXIT_CODES: &str = r#".SH EXIT STATUS
.TS
l l.
0	done; of \fBstatus\fR: it runs (starting, ready, draining); of \fBrun\fR: stopped when asked, or PROGRAM's own
1	\fBstatus\fR: nobody; the last one crashed
3	\fBstatus\fR, \fBping\fR, \fBsend\fR: nobody
4	\fBstatus\fR, \fBping\fR, \fBsend\fR: no answer, or it can't be told
64	usage
69	\fBsend\fR: the holder takes no messages
70	\fBrun\fR: had to be ended after its grace
73	the directory or its files can't be made or used
75	another instance holds it or is claiming; \fBstop\fR, \fBwait\fR: still there when the time was up
76	\fBrun\fR: deposed
77	not allowed
126, 127	\fBrun\fR: PROGRAM can't be run, can't be found
128+N	\fBrun\fR: PROGRAM died of signal N
.TE
"#;

const AROUND: &str = r".SH ENVIRONMENT
.TP
\fBGATEWAY_NAME\fR, \fBGATEWAY_DIR\fR
stand for \fB\-\-name\fR and \fB\-\-dir\fR
.TP
\fBGATEWAY_LOG\fR
a level (\fBinfo\fR, \fBdebug\fR, \fBtrace\fR): tells on the standard error what is done
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
\fINAME\fR.json, \fINAME\fR.history
what the last holder wrote about itself, and how the ones before it ended
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
    let mut page = b"'\\\" t\n".to_vec(); // tbl(1) is to make the table
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
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

/// A command: its line, what it does, and its own options.
fn section(command: &Command) -> io::Result<Vec<u8>> {
    let own = command.clone().mut_args(|arg| {
        let shared = arg.is_global_set() || matches!(arg.get_id().as_str(), "help" | "version");
        arg.hide(shared)
    });
    let man = Man::new(own);
    let mut text = Vec::new();
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    // The three become paragraphs of one section.
    let body =
        text.replace(".SH SYNOPSIS\n", "").replace(".SH DESCRIPTION\n", ".PP\n").replace(".SH OPTIONS\n", "");
    Ok(format!(".SS {}\n{body}", command.get_name()).into_bytes())
}
