//! A server that is replaced without a closed door: start it, ask it (`curl http://127.0.0.1:8080/`), and start it again, as
//! often as you like, while it is asked. Each takes the socket over from the one before, serves beside it for a moment, and
//! then has its place; the one before finishes what it has begun.
//!
//!     cargo run --example handed_over -- one &
//!     cargo run --example handed_over -- two
//!
//! It answers by hyper. With axum the listener goes where `accept` has it, and `stopped` is its graceful shutdown.

#![allow(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::{convert::Infallible, error::Error, net::SocketAddr};

use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use incumbent::{Begun, Claim, Instance, Listening, Received, Socket, TakeoverOptions};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let version = std::env::args().nth(1).unwrap_or_else(|| "hello".to_owned());
    let address = std::env::var("ADDRESS").unwrap_or_else(|_| "127.0.0.1:8080".to_owned()).parse()?;
    let instance = Instance::new("handed-over")?;
    let instance = match std::env::var_os("DIR") {
        Some(dir) => instance.in_dir(dir)?,
        None => instance,
    };
    serve_in_its_place(&instance, address, version).await
}

/// Takes over, if somebody is there; serves; and passes on to whoever comes next.
pub(crate) async fn serve_in_its_place(
    instance: &Instance,
    address: SocketAddr,
    version: String,
) -> Result<(), Box<dyn Error>> {
    // 1. What is handed over arrives, and the one that runs serves on.
    let mut takeover = match instance.begin_takeover(TakeoverOptions::default().overlap(true)).await? {
        Begun::Takeover(takeover) => takeover,
        Begun::Lost(other) => return Err(format!("another was faster: {}", other.status().await?).into()),
    };
    let Received { listeners, state, .. } = takeover.received();
    let handed = listeners.into_iter().find(|it| it.address == address.to_string());
    let listener = match handed {
        Some(it) => std::net::TcpListener::from(it.socket),
        None => std::net::TcpListener::bind(address)?,
    };
    listener.set_nonblocking(true)?;
    let copy = Socket::from(listener.try_clone()?);
    let answered = String::from_utf8(state)?.parse::<u64>().unwrap_or(0);

    // 2. Get ready: from here on both accept.
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(accept(TcpListener::from_std(listener)?, version.clone(), stopped));

    // 3. The place: the one that ran lets go, and finishes what it has begun. (On an error it goes on.)
    let holder = match takeover.complete().await? {
        Claim::Won(holder) => holder,
        Claim::Lost(other) => return Err(format!("another was faster: {}", other.status().await?).into()),
    };
    // What is offered may be changed at any time; the state is the program's own, here a count of handovers.
    holder.offer(
        vec![Listening { name: "http".to_owned(), address: address.to_string(), socket: copy }],
        (answered + 1).to_string(),
    )?;
    holder.ready(format!("{version}, handed over {answered} times"));
    println!("{version} holds, handed over {answered} times");

    // 4. Another is ready: let go first, then finish. Asked to stop: finish first, the place is let go of after that.
    tokio::select! {
        biased;
        () = holder.successor_is_ready() => holder.pass_on_blocking()?,
        _ = holder.stop_requested() => {}
        () = holder.deposed() => {}
    }
    stop.send_replace(true);
    server.await??;
    println!("{version} has drained");
    Ok(())
}

/// Accepts until it is told to stop, and returns when all that it has accepted was answered.
async fn accept(
    listener: TcpListener,
    version: String,
    mut stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut answering = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = listener.accept() => {
                answering.spawn(answer(accepted?.0, version.clone()));
            }
            Some(_) = answering.join_next() => {}
        }
    }
    drop(listener); // its other copies listen on
    while answering.join_next().await.is_some() {}
    Ok(())
}

/// One connection, by hyper; without keep-alive, because one that stays open would have to be drained.
async fn answer(stream: TcpStream, version: String) -> Result<(), hyper::Error> {
    let service = service_fn(|_| {
        let version = version.clone();
        async { Ok::<_, Infallible>(Response::new(version)) }
    });
    http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await
}
