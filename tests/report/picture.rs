//! The picture of the known night in a real browser: each mark has its colour at the place that the data say, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clockgate::report::LaneBox;
use serde_json::Value;

use crate::browser::{Browser, Colour, Look, Picture};
use crate::cases::{host, report};
use crate::night::{self, KnownDisruption};
use crate::support::expected::is_as_written;
use crate::support::{Outcome, ensure};

/// The left end of the plot, its width, its middle and half its height: the picture's measures, by hand.
const LEFT: f64 = 100.0;
const WIDTH: f64 = 844.0;
const MIDDLE: f64 = 160.0;
const HALF: f64 = 112.0;
/// The marks of the legend are in this row, its lanes in the other one.
const LEGEND: (f64, f64) = (378.0, 424.0);

pub const LIGHT: Look = Look { media: "screen", scheme: "light", width: 960, height: 462 };
const DARK: Look = Look { scheme: "dark", ..LIGHT };
/// In print the dark scheme of the screen does not count.
const PRINT: Look = Look { media: "print", ..DARK };

/// The picture of the README is what the verb makes of the committed night.
pub fn is_committed() -> Outcome {
    let output = report(&host(&night::folder().join("history"))?, "UTC", &["--svg", "-"])?;
    is_as_written(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.svg"), &String::from_utf8(output.stdout)?)
}

pub fn in_a_browser() -> Outcome {
    let host = host(&night::folder().join("history"))?;
    let file = host.at("night.svg");
    let name = file.to_str().ok_or("a path")?.to_owned();
    ensure(report(&host, "UTC", &["--svg", &name])?.status.success(), "the picture is written")?;
    let json: Value = serde_json::from_slice(&report(&host, "UTC", &["--json"])?.stdout)?;
    let svg = fs::read_to_string(&file)?;
    let mut browser = Browser::start()?;
    for look in [LIGHT, DARK, PRINT] {
        browser.open(&file, look)?;
        let seen = Seen {
            picture: browser.screenshot()?,
            palette: palette(&svg, usize::from(look == DARK)),
            place: Place::of(&json),
        };
        let check = || -> Outcome {
            seen.marks(&night::lived().1)?;
            seen.lanes()?;
            seen.contrast()
        };
        check().map_err(|why| format!("{look:?}: {}", why.message().unwrap_or_default()))?;
    }
    Ok(())
}

/// From data to places.
struct Place {
    from: f64,
    length: f64,
    most: f64,
}

impl Place {
    fn of(json: &Value) -> Self {
        let number = |value: &Value| value.as_f64().unwrap();
        let reach = |one: &Value| number(&one["offset_ns"]).abs() + number(&one["root_distance_ns"]);
        let most = json["disruptions"].as_array().unwrap().iter().map(reach).fold(1e9, f64::max);
        let (from, until) = (number(&json["from_ns"]), number(&json["until_ns"]));
        Self { from, length: until - from, most: 2.0 * most }
    }

    fn x(&self, nanos: f64) -> f64 {
        LEFT + (nanos - self.from) / self.length * WIDTH
    }

    /// Symmetric and logarithmic, linear below a millisecond.
    fn y(&self, nanos: f64) -> f64 {
        MIDDLE - nanos.signum() * HALF * (1.0 + nanos.abs() / 1e6).log10() / (1.0 + self.most / 1e6).log10()
    }

    /// At `hour` and `minute` of the night: UTC, the next day from midnight on.
    fn at(&self, hour: i64, minute: i64) -> f64 {
        let hours = if hour < 12 { hour + 6 } else { hour - 18 };
        self.x((night::EVENING + hours * 3600 + minute * 60) as f64 * 1e9)
    }
}

/// The colours of the style by name: the light ones come first, the dark ones second.
fn palette(svg: &str, number: usize) -> BTreeMap<String, Colour> {
    let sets: Vec<&str> = svg.split(".clockgate{--bg:").skip(1).map(|set| set.split('}').next().unwrap()).collect();
    let colour = |hex: &str| -> Colour {
        let digits = if hex.len() == 3 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex.to_owned() };
        let part = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        [part(0), part(2), part(4)]
    };
    let entries = format!("--bg:{}", sets[number]);
    let found = entries.split(';').filter_map(|entry| entry.strip_prefix("--")?.split_once(":#"));
    found.map(|(name, hex)| (name.to_owned(), colour(hex))).collect()
}

struct Seen {
    picture: Picture,
    palette: BTreeMap<String, Colour>,
    place: Place,
}

impl Seen {
    fn colour(&self, name: &str) -> Colour {
        self.palette[name]
    }

    /// Each mark is where it belongs, and there is none of its colour elsewhere in the plot.
    fn marks(&self, known: &[KnownDisruption]) -> Outcome {
        let mut places: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for one in known {
            let (x, y) = (self.place.x(one.time.as_nanos() as f64), self.place.y(one.offset.as_nanos() as f64));
            places.entry(class(one.cause)).or_default().push((x, y));
        }
        ensure(places.len() == 5, "five kinds of marks are in the night")?;
        let mut colours = BTreeSet::new();
        for (class, places) in places {
            let colour = self.colour(class);
            ensure(colours.insert(colour), format!("{class} has a colour of its own"))?;
            for (x, y) in &places {
                for (right, down) in [(0.0, 0.0), (-1.5, 0.0), (1.5, 0.0), (0.0, 1.5), (0.0, -1.5)] {
                    let found = self.picture.at(x + right, y + down);
                    ensure(found == colour, format!("{class} at {x:.1} {y:.1}: {found:?}, not {colour:?}"))?;
                }
            }
            let is_near = |x: f64, y: f64| places.iter().any(|(a, b)| (x - a).abs() < 9.0 && (y - b).abs() < 9.0);
            let stray = self
                .picture
                .whole()
                .find(|(x, y, found)| *found == colour && !is_near(*x, *y) && !(LEGEND.0..LEGEND.1).contains(y));
            ensure(stray.is_none(), format!("{class} is at {stray:?} too"))?;
        }
        Ok(())
    }

    /// How much of a lane between two columns has a colour.
    fn share(&self, lane: LaneBox, (from, until): (f64, f64), colour: Colour) -> f64 {
        let part = self.picture.part((from, f64::from(lane.y) + 1.0), (until - from, f64::from(lane.height) - 5.0));
        let all: Vec<Colour> = part.map(|(_, _, found)| found).collect();
        all.iter().filter(|found| **found == colour).count() as f64 / all.len() as f64
    }

    fn lanes(&self) -> Outcome {
        let at = |hour, minute| self.place.at(hour, minute);
        let background = self.colour("bg");
        for (name, lane, span, expected) in [
            ("unproven", LaneBox::GATE, (at(20, 5), at(20, 30)), 0.3..0.7),
            ("asleep", LaneBox::GATE, (at(21, 10), at(1, 50)), 0.2..0.5),
            ("unknown", LaneBox::GATE, (at(2, 5), at(2, 55)), 0.15..0.5),
            ("frozen", LaneBox::FROZEN, (at(21, 10), at(1, 50)), 0.4..0.8),
            // Half a second is a column too.
            ("shut", LaneBox::GATE, (at(18, 50).floor() + 0.4, at(18, 50).floor() + 0.9), 0.0..1.1),
        ] {
            let share = self.share(lane, span, self.colour(name));
            ensure(expected.contains(&share), format!("{name} covers {share:.2} of its time"))?;
            let holes = self.share(lane, span, background);
            ensure(name == "shut" || holes > 0.1, format!("{name} has a pattern, not a colour alone"))?;
        }
        let column = self.place.x((night::EVENING + 3004) as f64 * 1e9).floor() + 0.5;
        let found = self.picture.at(column, f64::from(LaneBox::GATE.y) + 8.0);
        ensure(found == self.colour("shut"), format!("a short shut gate is seen at {column}: {found:?}"))?;
        let proven = self.share(LaneBox::GATE, (at(19, 0), at(19, 50)), background);
        ensure(proven == 0.0, "a proven gate is a plain colour")?;
        let is_frozen = self.share(LaneBox::FROZEN, (at(19, 0), at(19, 50)), background);
        ensure(is_frozen > 0.9, "nothing is frozen while the gate is open")?;
        self.patterns()
    }

    /// Who sees no colour tells the lanes apart all the same.
    fn patterns(&self) -> Outcome {
        let at = |hour, minute| self.place.at(hour, minute);
        let lane = f64::from(LaneBox::GATE.y);
        let ink = |x: f64| -> Vec<bool> {
            let part = self.picture.part((x.floor(), lane + 1.0), (24.0, 16.0));
            part.map(|(_, _, found)| contrast(found, self.colour("bg")) > 2.0).collect()
        };
        let lanes = [at(18, 10), at(20, 5), at(22, 0), at(2, 10)].map(ink);
        for (number, one) in lanes.iter().enumerate() {
            for other in &lanes[..number] {
                let differ = one.iter().zip(other).filter(|(a, b)| a != b).count();
                ensure(differ * 8 > one.len(), format!("lane {number} differs in {differ} of {} pixels", one.len()))?;
            }
        }
        Ok(())
    }

    /// WCAG 2.1: 4.5 for text, 3 for what is to be recognised.
    fn contrast(&self) -> Outcome {
        let background = self.picture.at(1.0, 1.0);
        ensure(background == self.colour("bg"), format!("the background is {background:?}"))?;
        for name in [
            "sleep", "step", "restore", "start", "request", "doubt", "proven", "unproven", "shut", "asleep", "unknown",
            "frozen",
        ] {
            let ratio = contrast(self.colour(name), background);
            ensure(ratio >= 3.0, format!("{name} has a contrast of {ratio:.2}"))?;
        }
        for (what, from, size) in [
            ("the title", (16.0, 10.0), (400.0, 18.0)),
            ("the offsets", (30.0, 60.0), (64.0, 60.0)),
            ("the lanes", (50.0, 300.0), (44.0, 40.0)),
            ("the times", (200.0, 344.0), (740.0, 16.0)),
            ("the marks", (36.0, 380.0), (40.0, 16.0)),
            ("the note", (16.0, 438.0), (500.0, 18.0)),
        ] {
            let all = self.picture.part(from, size).map(|(_, _, found)| contrast(found, background));
            let best = all.fold(0.0, f64::max);
            ensure(best >= 4.5, format!("{what} has a contrast of {best:.2}"))?;
        }
        Ok(())
    }
}

/// The class of a mark by its cause.
fn class(cause: &str) -> &'static str {
    match cause {
        "resume" => "sleep",
        "foreign-step" => "step",
        "restore" => "restore",
        "started" => "start",
        "requested" => "request",
        _ => "doubt",
    }
}

/// The contrast ratio of WCAG 2.1.
fn contrast(one: Colour, other: Colour) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(colour: Colour) -> f64 {
    let [red, green, blue] = colour.map(|part| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}
