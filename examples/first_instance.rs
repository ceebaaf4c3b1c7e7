//! The first instance serves; a later one says who is there, and leaves.
//!
//! Start it twice: `cargo run --example first_instance`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example speaks to its reader")]

use incumbent::{Claim, Instance};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let instance =
        Instance::new("first-instance-example")?.in_dir(std::env::temp_dir().join("incumbent-example"))?;
    let holder = match instance.claim().await? {
        Claim::Won(holder) => holder,
        Claim::Lost(incumbent) => {
            eprintln!("already running: {}", incumbent.status().await?);
            return Ok(());
        }
    };
    holder.ready("serving nobody in particular");
    println!("holding generation {}; press Ctrl-C, or run `gateway stop` on it", holder.generation());
    tokio::select! {
        stop = holder.stop_requested() => println!("asked to stop within {:?}", stop.grace()),
        () = holder.deposed() => return Err("another process holds the instance now".into()),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    holder.release().await?;
    Ok(())
}
