//! A plan: commands, one field a line. `every` (rounds between two of its turns), the code to expect or the line to wait
//! for, the number of variables, `KEY=VALUE` each, the number of arguments, and the arguments, program first.

use std::process::Command;

pub struct Row {
    pub every: usize,
    /// A code, or else how the line begins after which it is killed.
    pub expect: String,
    env: Vec<String>,
    args: Vec<String>,
}

pub fn read(path: &str) -> Vec<Row> {
    let text = std::fs::read_to_string(path).expect("a plan");
    let mut lines = text.lines().map(str::to_owned);
    let mut rows = Vec::new();
    while let Some(every) = lines.next() {
        let every = every.parse().expect("rounds");
        let expect = lines.next().expect("a code or a line");
        let mut list = || {
            let count = lines.next().expect("a count").parse().expect("a count");
            lines.by_ref().take(count).collect()
        };
        rows.push(Row { every, expect, env: list(), args: list() });
    }
    rows
}

impl Row {
    /// The command; `{}` becomes `dir`.
    pub fn command(&self, dir: &str) -> Command {
        let mut command = Command::new(&self.args[0]);
        command.args(self.args[1..].iter().map(|arg| arg.replace("{}", dir)));
        for variable in &self.env {
            let (key, value) = variable.split_once('=').expect("KEY=VALUE");
            command.env(key, value.replace("{}", dir));
        }
        command
    }
}
