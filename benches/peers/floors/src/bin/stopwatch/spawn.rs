//! Whole processes, from the spawn to the end that was waited for, or to a line of theirs; in turns.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

use crate::plan::Row;

/// Prints a line for each time: the row's index, the nanoseconds. One that ends otherwise is said, and not counted.
pub fn measure(rounds: usize, rows: &[Row]) {
    for round in 0..rounds {
        for (index, row) in rows.iter().enumerate() {
            if round % row.every != 0 {
                continue;
            }
            let mut command = row.command("");
            command.stdin(Stdio::null());
            let taken = match row.expect.parse::<i32>() {
                Ok(code) => until_end(&mut command, code),
                Err(_) => until_line(&mut command, &row.expect),
            };
            match taken {
                Ok(nanoseconds) => println!("{index} {nanoseconds}"),
                Err(why) => println!("{index} failed {why}"),
            }
        }
    }
}

fn until_end(command: &mut Command, code: i32) -> Result<u128, String> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let status = command.spawn().and_then(|mut child| child.wait()).map_err(|error| error.to_string())?;
    let taken = begun.elapsed().as_nanos();
    if status.code() == Some(code) { Ok(taken) } else { Err(format!("{status}, not {code}")) }
}

/// Until it has said the line; then it is killed, so that the next round finds its files left over.
pub fn until_line(command: &mut Command, start: &str) -> Result<u128, String> {
    let (said, says) = std::io::pipe().map_err(|error| error.to_string())?;
    command.stdout(says.try_clone().map_err(|error| error.to_string())?).stderr(says);
    let begun = Instant::now();
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    command.stdout(Stdio::null()).stderr(Stdio::null()); // closes our ends
    let found = BufReader::new(said).lines().map_while(Result::ok).any(|line| line.starts_with(start));
    let taken = begun.elapsed().as_nanos();
    let _ = child.kill();
    let _ = child.wait();
    if found { Ok(taken) } else { Err(format!("it never said `{start}`")) }
}
