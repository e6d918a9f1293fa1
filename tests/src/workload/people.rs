//! Normal people and programs, each with habits.

use super::{DAY_MS, HOUR_MS, day_start};
use adyton_behaviour::{Action, Chance, Event, Outcome};

/// Collections of the organisation.
pub(super) const COLLECTIONS: u64 = 60;
/// Passages in each.
const PASSAGES: usize = 800;
/// Tools of the organisation.
pub(super) const TOOLS: u64 = 24;
/// Purposes of the organisation.
pub(super) const PURPOSES: u64 = 9;

/// What somebody does for a living.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Short questions all day.
    Support,
    /// Reads much, in bursts.
    Analyst,
    /// Long prompts and tools, until late.
    Developer,
    /// Reads a little of everything.
    Researcher,
    /// Comes by now and then.
    Manager,
    /// A program that runs each night at its hour.
    Batch,
}

/// What a kind is like on average.
struct Manner {
    sessions: f32,
    length: f32,
    gap_s: f32,
    start: f32,
    end: f32,
    weekend: f32,
    retrieve: f32,
    passages: f32,
    tool: f32,
    prompt: f32,
    response: f32,
    collections: usize,
}

impl Kind {
    const ALL: [Kind; 8] = [
        Kind::Support,
        Kind::Analyst,
        Kind::Developer,
        Kind::Support,
        Kind::Researcher,
        Kind::Manager,
        Kind::Developer,
        Kind::Batch,
    ];

    fn manner(self) -> Manner {
        let m = |sessions,
                 length,
                 gap_s,
                 (start, end),
                 weekend,
                 retrieve,
                 passages,
                 tool,
                 prompt,
                 response,
                 collections| Manner {
            sessions,
            length,
            gap_s,
            start,
            end,
            weekend,
            retrieve,
            passages,
            tool,
            prompt,
            response,
            collections,
        };
        match self {
            Kind::Support => m(6.0, 12.0, 70.0, (8.0, 17.0), 0.3, 0.5, 3.0, 0.1, 300.0, 700.0, 4),
            Kind::Analyst => m(3.0, 18.0, 45.0, (9.0, 18.0), 0.1, 0.7, 8.0, 0.1, 900.0, 2500.0, 8),
            Kind::Developer => m(5.0, 14.0, 60.0, (10.0, 21.0), 0.3, 0.2, 4.0, 0.5, 4000.0, 3000.0, 4),
            Kind::Researcher => m(3.0, 10.0, 150.0, (9.0, 19.0), 0.2, 0.8, 6.0, 0.0, 700.0, 2000.0, 16),
            Kind::Manager => m(1.2, 5.0, 120.0, (8.0, 18.0), 0.1, 0.3, 3.0, 0.0, 400.0, 1200.0, 5),
            Kind::Batch => m(1.0, 60.0, 20.0, (1.0, 1.2), 1.0, 0.9, 5.0, 0.0, 1500.0, 800.0, 3),
        }
    }
}

/// Somebody with habits.
#[derive(Clone, Debug)]
pub struct Person {
    pub(super) number: usize,
    /// The pseudonym.
    pub name: [u8; 32],
    /// What they do.
    pub kind: Kind,
    pace: f32,
    shift_h: f32,
    purposes: Vec<u64>,
    pub(super) collections: Vec<u64>,
    tools: Vec<u64>,
    prompt: f32,
    response: f32,
    max_tokens: u32,
    clumsy: f32,
    entropy: f32,
}

/// exp of a normal number: a factor around 1.
fn factor(chance: &mut Chance, spread: f32) -> f32 {
    (spread * chance.normal()).exp()
}

/// Some of `0..of`, each once.
fn some(count: usize, of: u64, chance: &mut Chance) -> Vec<u64> {
    let mut all: Vec<u64> = (0..of).collect();
    chance.shuffle(&mut all);
    all.truncate(count);
    all
}

/// The earlier, the likelier: a square of a uniform number.
pub(super) fn favourite(items: &[u64], chance: &mut Chance) -> u64 {
    let at = (chance.unit().powi(2) * items.len() as f32) as usize;
    items.get(at).copied().unwrap_or(0)
}

/// Spreads small numbers over 64 bits, as a keyed digest would.
pub(super) fn digest(space: u64, number: u64) -> u64 {
    let mut z = (space << 48 ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The digest of one passage.
pub(super) fn passage(collection: u64, at: usize) -> u64 {
    digest(3, collection * 1_000_000 + at as u64)
}

impl Person {
    pub(super) fn new(number: usize, chance: &mut Chance) -> Person {
        let kind = Kind::ALL[number % Kind::ALL.len()];
        let manner = kind.manner();
        let mut name = [0; 32];
        name[..8].copy_from_slice(&digest(1, number as u64).to_le_bytes());
        Person {
            number,
            name,
            kind,
            pace: factor(chance, 0.25),
            shift_h: 1.5 * chance.normal(),
            purposes: some(1 + chance.below(3), PURPOSES, chance),
            collections: some(manner.collections + chance.below(3), COLLECTIONS, chance),
            tools: some(2 + chance.below(4), TOOLS, chance),
            prompt: manner.prompt * factor(chance, 0.3),
            response: manner.response * factor(chance, 0.3),
            max_tokens: [512, 1024, 2048][chance.below(3)],
            clumsy: 0.01 * factor(chance, 0.5),
            entropy: 1.2 + 0.2 * chance.normal(),
        }
    }

    /// A normal day: maybe none, maybe a busy one.
    pub(super) fn day(&self, day: u32, chance: &mut Chance) -> Vec<Event> {
        let manner = self.kind.manner();
        let week = if day % 7 >= 5 { manner.weekend } else { 1.0 };
        let busy = if self.kind == Kind::Batch { 1.0 } else { factor(chance, 0.35) };
        let expected = manner.sessions * self.pace * week * busy;
        let sessions = expected.floor() as usize + usize::from(chance.unit() < expected.fract());
        (0..sessions).flat_map(|_| self.sitting(day, &manner, chance)).collect()
    }

    fn sitting(&self, day: u32, manner: &Manner, chance: &mut Chance) -> Vec<Event> {
        let window = (manner.end - manner.start) / 2.0;
        // The sum of two is near the middle more often than at the ends.
        let hour = manner.start + self.shift_h + window * (chance.unit() + chance.unit());
        let mut at = day_start(day) + (hour.rem_euclid(24.0) * HOUR_MS as f32) as u64;
        let session = chance.bits();
        let spread = if self.kind == Kind::Batch { 0.1 } else { 0.7 };
        let length = (manner.length * factor(chance, 0.8 * spread)).max(1.0) as usize;
        let mut events = Vec::new();
        for _ in 0..length.min(200) {
            events.push(self.request(at, session, chance));
            at += (1000.0 * manner.gap_s * factor(chance, spread)).max(2000.0) as u64;
        }
        events.retain(|event| event.at_ms < day_start(day) + DAY_MS);
        events
    }

    /// One request as this person makes them.
    pub(super) fn request(&self, at_ms: u64, session: u64, chance: &mut Chance) -> Event {
        let manner = self.kind.manner();
        let sort = chance.unit();
        let mut event = self.plain(at_ms, session, chance);
        if sort < manner.tool {
            event.action = Action::CallTool;
            event.tool = Some(digest(4, favourite(&self.tools, chance)));
        } else if sort < manner.tool + manner.retrieve {
            let count = (manner.passages * factor(chance, 0.4)).max(1.0) as usize;
            let collection = favourite(&self.collections, chance);
            self.retrieve(&mut event, collection, count, chance);
        }
        if chance.unit() < self.clumsy {
            deny(&mut event);
        }
        event
    }

    fn plain(&self, at_ms: u64, session: u64, chance: &mut Chance) -> Event {
        let response = self.response * factor(chance, 0.6);
        // Now and then somebody does something else than usual.
        let purpose = if chance.unit() < 0.01 {
            chance.below(PURPOSES as usize) as u64
        } else {
            favourite(&self.purposes, chance)
        };
        Event {
            at_ms,
            principal: self.name,
            session,
            purpose: digest(2, purpose),
            action: Action::Generate,
            outcome: Outcome::Permitted,
            prompt_bytes: Some((self.prompt * factor(chance, 0.6)) as u32),
            max_tokens: Some(self.max_tokens),
            response_bytes: Some(response as u32),
            duration_ms: Some((500.0 + response * 4.0 * factor(chance, 0.3)) as u32),
            findings: Some(u8::from(chance.unit() < 0.01)),
            guard_score: Some((0.08 * factor(chance, 0.7)).min(1.0)),
            refused: Some(chance.unit() < 0.01),
            collections: Vec::new(),
            passages: Vec::new(),
            tool: None,
            entropy: Some((self.entropy + 0.2 * chance.normal()).max(0.05)),
        }
    }

    /// Passages of one collection, the popular ones more often.
    pub(super) fn retrieve(&self, event: &mut Event, collection: u64, count: usize, chance: &mut Chance) {
        event.action = Action::Retrieve;
        // One in fifty questions leads elsewhere.
        let collection =
            if chance.unit() < 0.02 { chance.below(COLLECTIONS as usize) as u64 } else { collection };
        event.collections = vec![digest(5, collection)];
        let place = |chance: &mut Chance| (chance.unit().powi(3) * PASSAGES as f32) as usize;
        event.passages = (0..count).map(|_| passage(collection, place(chance))).collect();
    }
}

/// Nothing was done.
pub(super) fn deny(event: &mut Event) {
    event.outcome = Outcome::Denied;
    event.response_bytes = Some(0);
    event.duration_ms = Some(1);
    event.passages.clear();
    event.collections.clear();
    event.entropy = None;
    event.guard_score = None;
}
