//! Any bytes, in any pieces: the same frames and the same end as in one piece; no message that is read changes when it is
//! written and read again; memory stays within the limit, whatever the lengths say.
#![no_main]

use incumbent_fuzz::{frames, memory, pieces};
use incumbent_proto::{HEADER_LEN, MAX_BODY, Reply, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (seed, bytes) = input;
    let whole = frames(std::iter::once(bytes));
    assert_eq!(frames(pieces(bytes, seed)), whole);
    assert!(whole.1.is_none_or(|fatal| fatal.is_fatal()));
    for frame in whole.0 {
        let (size, version) = (frame.body.len() + HEADER_LEN, frame.header.version);
        let again = |bytes: Vec<u8>| frames(std::iter::once(&bytes[..])).0.pop().expect("a frame");
        let (read, largest, peak) = memory(|| (Request::decode(&frame), Reply::decode(&frame)));
        assert!(largest <= MAX_BODY && (size > 4096 || peak <= 40_000), "{largest}, {peak} for {size}");
        match read {
            (Ok(read), Err(_)) => {
                let written = read.encode_as(version).expect("it fitted");
                assert!(written.len() <= size, "what is unknown at the end is left out");
                assert_eq!(Request::decode(&again(written)), Ok(read));
            }
            (Err(_), Ok(read)) => {
                let written = read.encode_as(version).expect("it fitted");
                let twice = Reply::decode(&again(written.clone())).map(|it| it.encode_as(version));
                assert_eq!(twice, Ok(Ok(written)), "as bytes: not every number equals itself");
            }
            (Err(one), Err(other)) => {
                assert!(!one.is_fatal() && !other.is_fatal() && one.reply().encode().is_ok());
            }
            (Ok(_), Ok(_)) => panic!("a request is no reply"),
        }
    }
});
