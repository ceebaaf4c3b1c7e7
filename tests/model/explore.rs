//! The explorer: breadth first through all states, each kept once in 16 bytes, with the one that it was first reached
//! from, so that a counter-example is the shortest there is; then backwards from every good end, so that a state without
//! a way to one is found. Two contenders after the same thing are told apart by nothing, and count once.

use std::fmt::Write as _;

use crate::model::{Label, Model, Steps, What, Wrong};
use crate::premises::Premises;
use crate::process::Process;
use crate::state::{NONE, State};

/// The bits of an edge: it is fair; it is that, or a deadline, and nobody has to be continued for it.
const FAIR: u32 = 1 << 31;
const PATIENT: u32 = 1 << 30;
const NUMBER: u32 = PATIENT - 1;

/// What came of exploring.
pub struct Explored {
    pub states: usize,
    pub steps: usize,
    /// How long the longest of the shortest ways to a state is.
    pub depth: usize,
    pub bytes: usize,
    pub found: Option<Found>,
    pub premises: Premises,
}

/// A counter-example.
pub struct Found {
    pub wrong: Wrong,
    pub trace: String,
}

pub struct Explorer<'a> {
    model: &'a Model,
    states: Vec<u128>,
    parents: Vec<u32>,
    /// Open addressing: numbers of states, + 1.
    table: Vec<u32>,
    /// Where the steps from each state begin, and where they lead.
    begins: Vec<usize>,
    leads: Vec<u32>,
    good: Vec<u32>,
    /// Where no contender that runs is left: won, given up, stopped or dead.
    settled: Vec<u32>,
    premises: Premises,
}

impl<'a> Explorer<'a> {
    pub fn new(model: &'a Model) -> Self {
        Self {
            model,
            states: Vec::new(),
            parents: Vec::new(),
            table: vec![0; 1 << 16],
            begins: Vec::new(),
            leads: Vec::new(),
            good: Vec::new(),
            settled: Vec::new(),
            premises: Premises::default(),
        }
    }

    /// Goes through everything.
    pub fn explore(mut self) -> Explored {
        let first = self.canonical(&self.model.first()).0;
        self.add(first, 0);
        let (mut depth, mut level_ends) = (0, 1);
        let mut steps = Steps::new();
        let mut at = 0;
        while at < self.states.len() {
            if at == level_ends {
                (depth, level_ends) = (depth + 1, self.states.len());
            }
            let state = State::unpack(self.states[at]);
            steps.clear();
            self.model.steps(&state, &mut steps);
            self.begins.push(self.leads.len());
            self.premises.note_state(&state);
            let mut is_end = true;
            for step in &steps {
                self.premises.note_step(step);
                let next = self.canonical(&step.state).0;
                let to = self.add(next, at);
                let fair = if step.is_fair && to as usize != at { FAIR } else { 0 };
                is_end &= fair == 0;
                let patient = if step.is_patient() { PATIENT } else { 0 };
                self.leads.push(to | fair | patient);
                let wrong = step.wrong.or_else(|| self.model.is_wrong(&step.state));
                if let Some(wrong) = wrong {
                    return self.found(depth, wrong, at, Some((step.label, step.state)));
                }
            }
            if !state.processes.iter().any(Process::contends) {
                self.settled.push(at as u32);
            }
            if is_end {
                if let Some(wrong) = self.model.ends_wrong(&state, &mut self.premises) {
                    return self.found(depth, wrong, at, None);
                }
                self.good.push(at as u32);
            }
            if let Some(wrong) = self.model.is_blocked(&state, &mut self.premises) {
                return self.found(depth, wrong, at, None);
            }
            at += 1;
        }
        self.begins.push(self.leads.len());
        if let Some(at) = self.without_a_way(FAIR, &self.good) {
            return self.found(depth, Wrong::Stuck, at, None);
        }
        match self.without_a_way(PATIENT, &self.settled) {
            Some(at) => self.found(depth, Wrong::WaitsForEver, at, None),
            None => self.explored(depth, None),
        }
    }

    /// Adds a state if it is new; its number.
    fn add(&mut self, state: u128, from: usize) -> u32 {
        if self.states.len() * 2 > self.table.len() {
            let size = self.table.len() * 4;
            self.table = vec![0; size];
            for number in 0..self.states.len() {
                let slot = slot_of(self.states[number], &self.table, &self.states);
                self.table[slot] = number as u32 + 1;
            }
        }
        let slot = slot_of(state, &self.table, &self.states);
        if self.table[slot] == 0 {
            self.states.push(state);
            self.parents.push(from as u32);
            self.table[slot] = self.states.len() as u32;
        }
        self.table[slot] - 1
    }

    /// The same state in the one form that stands for all like it, and whether the last two have changed places.
    fn canonical(&self, state: &State) -> (u128, bool) {
        let mut state = *state;
        if state.believers() < 2 {
            state.forget_ticks();
        }
        let packed = state.pack();
        if self.model.goals[1] != self.model.goals[2] {
            return (packed, false);
        }
        let swapped = state.swapped(1, 2).pack();
        (packed.min(swapped), swapped < packed)
    }

    /// A state from which no steps of a kind lead to one of these.
    fn without_a_way(&self, kind: u32, ends: &[u32]) -> Option<usize> {
        let mut counts = vec![0_u32; self.states.len() + 1];
        for lead in self.leads.iter().filter(|lead| *lead & kind != 0) {
            counts[(lead & NUMBER) as usize] += 1;
        }
        let mut begins = Vec::with_capacity(counts.len());
        let mut sum = 0_usize;
        for count in &counts {
            begins.push(sum);
            sum += *count as usize;
        }
        let mut froms = vec![0_u32; sum];
        let mut filled = begins.clone();
        for from in 0..self.states.len() {
            for lead in &self.leads[self.begins[from]..self.begins[from + 1]] {
                if lead & kind != 0 {
                    let to = (lead & NUMBER) as usize;
                    froms[filled[to]] = from as u32;
                    filled[to] += 1;
                }
            }
        }
        let mut reached = vec![false; self.states.len()];
        let mut todo = ends.to_vec();
        for at in &todo {
            reached[*at as usize] = true;
        }
        while let Some(at) = todo.pop() {
            for from in &froms[begins[at as usize]..begins[at as usize + 1]] {
                if !reached[*from as usize] {
                    reached[*from as usize] = true;
                    todo.push(*from);
                }
            }
        }
        reached.iter().position(|reached| !reached)
    }

    fn found(self, depth: usize, wrong: Wrong, at: usize, last: Option<(Label, State)>) -> Explored {
        let trace = self.trace(at, last);
        self.explored(depth, Some(Found { wrong, trace }))
    }

    fn explored(self, depth: usize, found: Option<Found>) -> Explored {
        let bytes = self.states.capacity() * 20
            + (self.table.capacity() + self.leads.capacity()) * 4
            + self.begins.capacity() * 8;
        Explored {
            states: self.states.len(),
            steps: self.leads.len(),
            depth,
            bytes,
            found,
            premises: self.premises,
        }
    }

    /// The way to a state, a line a step, in the names that the processes had at the beginning.
    fn trace(&self, at: usize, last: Option<(Label, State)>) -> String {
        let mut way = vec![at];
        while let Some(&at) = way.last().filter(|at| **at != 0) {
            way.push(self.parents[at] as usize);
        }
        way.reverse();
        let mut names = [0, 1, 2];
        let mut text = String::new();
        for pair in way.windows(2) {
            let mut steps = Steps::new();
            self.model.steps(&State::unpack(self.states[pair[0]]), &mut steps);
            let next = steps.iter().find(|step| self.canonical(&step.state).0 == self.states[pair[1]]);
            let Some(next) = next else { break };
            let number = text.lines().count() + 1;
            self.line(&mut text, number, next.label, names);
            if self.canonical(&next.state).1 {
                names.swap(1, 2);
            }
        }
        let state = match last {
            Some((label, state)) => {
                let number = text.lines().count() + 1;
                self.line(&mut text, number, label, names);
                state
            }
            None => State::unpack(self.states[at]),
        };
        for (who, it) in state.processes.iter().enumerate().filter(|(_, it)| it.lives()) {
            let _ = writeln!(
                text,
                "      {}: {:?}, next {:?}, mending {:?}, file {}, generation {}, endpoint {:?}",
                self.name(names[who]),
                it.life,
                it.at,
                it.mend,
                it.file,
                it.generation,
                it.endpoint
            );
        }
        let _ = writeln!(
            text,
            "      the path names file {}, the record generation {}",
            state.path, state.record
        );
        text
    }

    fn name(&self, who: usize) -> String {
        let letter = char::from(b'A' + who as u8);
        format!("{letter}, who {}", self.model.words(who))
    }

    fn line(&self, text: &mut String, number: usize, label: Label, names: [usize; 3]) {
        let who = if label.who == NONE { "-".to_owned() } else { self.name(names[label.who as usize]) };
        let what: What = label.what;
        let _ = writeln!(text, "{number:4}. {who}: {what}");
    }
}

fn slot_of(state: u128, table: &[u32], states: &[u128]) -> usize {
    let mixed = (state as u64 ^ ((state >> 64) as u64).rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mask = table.len() - 1;
    let mut slot = (mixed ^ mixed >> 32) as usize & mask;
    while table[slot] != 0 && states[table[slot] as usize - 1] != state {
        slot = (slot + 1) & mask;
    }
    slot
}
