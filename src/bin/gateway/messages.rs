//! Messages as JSON lines: `run` without PROGRAM prints each on the standard output until it is asked to stop, and with
//! `--messages stdin` PROGRAM gets them on its standard input.
//!
//! A line is flushed before the message is answered, with code 0 and an empty body. When the standard output is closed
//! the holder lives on: such a message is answered with code 74 and a body that says why, and printing is tried again
//! with the next. Lines are printed on a thread of their own, because a reader that does not read must not keep the
//! holder from stopping. After it was asked to stop, what has arrived is still printed, within the grace.

use std::{io, sync::mpsc, thread, time::Duration};

use incumbent::{Message, Messages, text};
use serde::Serialize;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    background, base64, exit,
    holders::Holders,
    manager::Manager,
    output::complain,
    signals::{Signals, next_stop},
    words::say_error,
};

/// `EX_IOERR` of sysexits.h: the message could not be printed.
const NOT_PRINTED: i32 = 74;

/// A message as it is printed.
#[derive(Serialize)]
struct Line {
    args: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args_base64: Option<Vec<String>>,
    cwd: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd_base64: Option<String>,
    body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    from: From,
}

/// Who sent it, as the kernel says.
#[derive(Serialize)]
struct From {
    pid: Option<u32>,
    uid: Option<u32>,
}

/// The thread that prints messages.
pub(crate) struct Printer {
    print: mpsc::Sender<Message>,
    printed: oneshot::Receiver<()>,
}

impl Printer {
    /// Starts it, on the standard output.
    pub(crate) fn start() -> io::Result<Self> {
        Self::on(io::stdout())
    }

    /// Starts it, on this stream.
    pub(crate) fn on(mut out: impl io::Write + Send + 'static) -> io::Result<Self> {
        let (print, to_print) = mpsc::channel::<Message>();
        let (tell, printed) = oneshot::channel();
        thread::Builder::new().name("printer".into()).spawn(move || {
            for message in to_print {
                print_and_answer(&mut out, message);
            }
            let _ = tell.send(());
        })?;
        Ok(Self { print, printed })
    }

    /// Leaves a message to be printed, and answered then.
    pub(crate) fn print(&self, message: Message) {
        let _ = self.print.send(message);
    }
}

/// Takes messages until it is asked to stop. The exit code.
pub(crate) async fn take(
    holder: &Holders,
    messages: &mut Messages,
    manager: &Manager,
    signals: &mut Signals,
    grace: Duration,
    printer: Printer,
) -> u8 {
    let Printer { print, printed } = printer;
    holder.ready("");
    background::ready();
    manager.ready();
    let grace = loop {
        tokio::select! {
            biased;
            () = next_stop(signals) => {
                manager.stopping(None);
                break grace;
            }
            stop = holder.stop_requested() => {
                manager.stopping(Some(stop.grace()));
                break stop.grace();
            }
            () = holder.deposed() => {
                say_error("another process holds the instance now");
                return exit::DEPOSED;
            }
            Some(message) = messages.next() => drop(print.send(message)),
        }
    };
    holder.draining();
    while let Ok(Some(message)) = timeout(Duration::ZERO, messages.next()).await {
        let _ = print.send(message);
    }
    drop(print);
    if timeout(grace, printed).await.is_err() {
        complain(&format!("messages are left unprinted: nobody read them within {}", text::duration(grace)));
    }
    exit::OK
}

fn print_and_answer(out: &mut impl io::Write, message: Message) {
    let mut line = serde_json::to_vec(&Line::of(&message)).unwrap_or_default();
    line.push(b'\n');
    match out.write_all(&line).and_then(|()| out.flush()) {
        Ok(()) => message.answer(0, []),
        Err(error) => {
            let why = format!("the message could not be printed: {}\n", text::system_words(&error));
            message.answer(NOT_PRINTED, why);
        }
    }
}

impl Line {
    fn of(message: &Message) -> Self {
        let args = message.args();
        let cwd = message.cwd();
        let bytes = |arg: &std::ffi::OsString| base64::encode(arg.as_encoded_bytes());
        Self {
            args_base64: args
                .iter()
                .any(|arg| arg.to_str().is_none())
                .then(|| args.iter().map(bytes).collect()),
            args: args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect(),
            cwd_base64: cwd.to_str().is_none().then(|| bytes(&cwd.clone().into_os_string())),
            cwd: cwd.to_string_lossy().into_owned(),
            body: String::from_utf8_lossy(message.body()).into_owned(),
            body_base64: std::str::from_utf8(message.body()).is_err().then(|| base64::encode(message.body())),
            from: From { pid: message.pid(), uid: message.uid() },
        }
    }
}
