//! Servers under `run --listen` that are replaced while clients ask without a pause.
#![allow(dead_code)] // not all of it in every test program

use std::net::{SocketAddr, TcpListener};

use crate::{
    gateway::{Place, Running},
    web::{self, Load},
};

pub(crate) const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];
pub(crate) const OVERLAP: [&str; 3] = ["--replace=overlap", "--listen", "127.0.0.1:0"];

pub(crate) fn address(running: &Running) -> SocketAddr {
    let line = running.says("listening at ");
    line.split(' ').nth(2).unwrap().parse().unwrap()
}

/// A server that holds, and where it listens.
pub(crate) fn serving(place: &Place, does: &str) -> (Running, SocketAddr) {
    let running = place.start(&web::run(&LISTEN, does));
    running.says("holding ");
    let at = address(&running);
    running.prints("serving ");
    (running, at)
}

/// The same, under clients that ask without a pause and have been answered.
pub(crate) fn serving_the_asking(place: &Place) -> (Running, SocketAddr, Load) {
    let (old, at) = serving(place, "one");
    let load = Load::on(at);
    load.meets("one");
    (old, at, load)
}

pub(crate) fn status(place: &Place) -> serde_json::Value {
    serde_json::from_str(&place.finish(&["status", "--json"]).stdout).unwrap()
}

/// The one that runs says what failed.
pub(crate) fn says_what_failed(place: &Place, old: &Running, why: &str) {
    old.says("pid ");
    let status = status(place);
    assert_eq!(status["holder"]["pid"], old.pid(), "{status}");
    assert_eq!(status["state"], "ready", "{status}");
    assert!(status["problem"].as_str().unwrap().contains(why), "{status}");
    web::eventually("the history tells", || place.finish(&["history", "--json"]).stdout.contains(why));
    assert!(place.finish(&["history"]).stdout.contains("did not take over"));
}

/// The one that runs goes on, and says what failed; then the next one takes its place.
pub(crate) fn goes_on(place: &Place, old: Running, load: Load, why: &str) {
    says_what_failed(place, &old, why);
    let next = place.start(&web::run(&OVERLAP, "next"));
    next.says("holding ");
    load.meets("next");
    let seen = load.was_answered();
    assert_eq!(seen.versions, ["one", "next"]);
    let ended = old.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
}

pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
