//! Clients and a server in one process.

#![allow(clippy::unwrap_used, clippy::panic)] // A test fails so.

use super::*;
use crate::platform::windows::{
    pipes::{Read, Stream, connect, means_nobody},
    reactor::Waker,
};

const LONG: Duration = Duration::from_secs(20);

fn address(name: &str) -> Address {
    Address::Path(format!(r"\\.\pipe\incumbent-test-{name}-{}", std::process::id()).into())
}

fn soon() -> Instant {
    Instant::now() + LONG
}

/// Lets the next client in, on this thread.
fn let_in(listener: &Listener) -> Guest {
    loop {
        assert_eq!(wait_for_any(&[Awaited::Listener(listener)], Some(soon())).unwrap(), [true]);
        if let Some(guest) = listener.accept().unwrap() {
            return guest;
        }
    }
}

fn hear(guest: &Guest) -> Vec<u8> {
    let mut piece = [0; 64];
    loop {
        assert_eq!(wait_for_any(&[Awaited::Reading(guest)], Some(soon())).unwrap(), [true]);
        if let Some(count) = guest.check().unwrap().read(&mut piece).unwrap() {
            return piece[..count].to_vec();
        }
    }
}

fn read(client: &Stream) -> Vec<u8> {
    let mut piece = [0; 64];
    match client.read(&mut piece, Some(soon()), None, None).unwrap() {
        Read::Bytes(count) => piece[..count].to_vec(),
        other => panic!("{other:?}"),
    }
}

/// One test, because only one thread of a process waits for events, as the answering thread does.
#[test]
fn clients_are_met_heard_and_answered_and_their_end_is_seen() {
    let name = address("met");
    assert!(means_nobody(&connect(&name, Instant::now()).unwrap_err()));
    let listener = Listener::new(listen_on(&name, effective_user()).unwrap());
    let client = connect(&name, Instant::now()).unwrap();
    let guest = let_in(&listener);
    let own = Peer { uid: Some(effective_user()), pid: Some(std::process::id()) };
    assert_eq!((client.peer().unwrap(), guest.peer().unwrap()), (own, own));

    client.write_all(b"question", soon()).unwrap();
    assert_eq!(hear(&guest), b"question");
    assert_eq!(guest.check().unwrap().write(b"answer").unwrap(), Some(6));
    assert_eq!(read(&client), b"answer");

    // What is said while only the end is awaited is neither lost nor taken for it.
    client.write_all(b"more", soon()).unwrap();
    let at_once = Some(Instant::now() + Duration::from_millis(50));
    assert_eq!(wait_for_any(&[Awaited::Leaving(&guest)], at_once).unwrap(), [false]);
    assert_eq!(hear(&guest), b"more");
    drop(client);
    assert_eq!(wait_for_any(&[Awaited::Leaving(&guest)], Some(soon())).unwrap(), [true]);
    assert_eq!(hear(&guest), b"");
    drop(guest);

    // The last words reach a client though the server closes at once.
    let client = connect(&name, Instant::now()).unwrap();
    let guest = let_in(&listener);
    assert_eq!(guest.check().unwrap().write(b"farewell").unwrap(), Some(8));
    drop(guest);
    assert_eq!(read(&client), b"farewell");

    let silent = client.read(&mut [0], Some(Instant::now() + Duration::from_millis(20)), None, None).unwrap();
    assert!(matches!(silent, Read::End | Read::Nothing), "{silent:?}");
    let (waker, wakes) = Waker::pair().unwrap();
    std::thread::spawn(move || (0..10_000).for_each(|_| waker.wake())).join().unwrap();
    assert_eq!(wait_for_any(&[Awaited::Wakes(&wakes)], Some(soon())).unwrap(), [true]);
    assert!(wakes.clear());
    // However often: nothing of it stands in line before what comes next.
    let at_once = Some(Instant::now() + Duration::from_millis(50));
    assert_eq!(wait_for_any(&[Awaited::Wakes(&wakes)], at_once).unwrap(), [false]);

    // More at once than there are instances that wait: the others are told that it is busy, and none that nobody is there.
    let many: Vec<io::Result<Stream>> = (0..2 * DOORS).map(|_| connect(&name, Instant::now())).collect();
    let busy = many.iter().filter_map(|client| client.as_ref().err());
    assert!(busy.clone().all(|error| error.kind() == io::ErrorKind::WouldBlock));
    assert_eq!(busy.count(), DOORS);
    let guests: Vec<Guest> = (0..DOORS).map(|_| let_in(&listener)).collect();
    assert!(connect(&name, Instant::now()).is_ok());
    drop((guests, many));

    listener.shut_down();
    assert!(!listener.still_listens());
    // mio closes what it has been cancelled as soon as that is looked at.
    let deadline = soon();
    while !connect(&name, Instant::now()).is_err_and(|error| means_nobody(&error)) {
        assert!(Instant::now() < deadline);
        wait_for_any(&[], Some(Instant::now() + Duration::from_millis(5))).unwrap();
    }
}
