//! Mutations of YAML and JSON: of their values, lines and structure.

use super::bytes;
use super::dice::Dice;

/// Values that are nasty wherever they come to stand. Long ones are made when they are drawn.
const VALUES: [&str; 62] = [
    "",
    "null",
    "~",
    "true",
    "no",
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "0.5",
    "1e-300",
    "1e300",
    "1e400",
    "-1e9",
    ".inf",
    "-.inf",
    ".nan",
    "NaN",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "2147483648",
    "4294967296",
    "0x7fffffff",
    "0o17",
    "1_000",
    "100000",
    "[]",
    "{}",
    "[[]]",
    "[1, 2]",
    "[a, b, c, d, e]",
    "{a: b}",
    "[.nan, .inf, -1, 0]",
    "[0, 0, 0, 0]",
    "[1e308, -1e308]",
    "{file: area.geojson, layer: none}",
    "''",
    "' '",
    "\"\\0\"",
    "\"\\e[31m\\a\"",
    "\"a\\nerror: b\"",
    "\"\\u202e\\ufeff\"",
    "é\u{1F600}",
    "*a",
    "&a [*a]",
    "!!binary AAAA",
    "!foreign {a: 1}",
    "<<: *a",
    "? [a]",
    "|\n  text",
    "# none",
    "@file",
    "%d%s%n",
    "{scene}{scene}{scene}",
    "EPSG:0",
    "EPSG:99999999",
    "#12345",
    "1/0",
    "fake:null",
    "percentile:99,1",
];

/// Values that may well be right.
const PLAIN: [&str; 22] = [
    "0",
    "1",
    "2",
    "3",
    "0.1",
    "0.5",
    "1.5",
    "16",
    "28",
    "56",
    "112",
    "448",
    "true",
    "false",
    "none",
    "red",
    "building",
    "water",
    "min-max",
    "EPSG:4326",
    "[1, 2, 3]",
    "a b",
];

/// Paths at which reading never ends, fails, or means something else. None of them can be written to.
const PATHS: [&str; 14] = [
    "/dev/zero",
    "/dev/urandom",
    "/dev/null",
    "/dev/full",
    "/proc/self/mem",
    "/proc/self/environ",
    "/proc/none/at/all",
    "/vsimem/a.tif",
    "/vsizip//vsizip/scene.tif",
    "/vsisubfile/0_100,scene.tif",
    "/vsicurl/http://127.0.0.1:9/a.tif",
    "http://127.0.0.1:9/a.tif",
    "\"two\\nlines\\e[31m.tif\"",
    "scene.tif/scene.tif",
];

fn value(dice: &mut Dice) -> String {
    match dice.below(30) {
        0 => "x".repeat(1_000_000),
        1 => format!("[{}]", "a, ".repeat(30_000)),
        2 => format!("{}1{}", "[".repeat(200), "]".repeat(200)),
        3 => format!("\"{}\"", "é ".repeat(2_000)),
        4 => "../".repeat(2000),
        5 | 6 => dice.pick(&PATHS).to_owned(),
        7..=16 => dice.pick(&PLAIN).to_owned(),
        _ => dice.pick(&VALUES).to_owned(),
    }
}

/// Does one thing to a text, sometimes two or three; what comes out need not be UTF-8.
pub fn mutate(text: &str, dice: &mut Dice) -> Vec<u8> {
    let mut text = text.to_owned();
    for _ in 0..dice.pick(&[1, 1, 1, 2, 3]) {
        match dice.below(10) {
            0..=5 => replace_token(&mut text, dice),
            6 | 7 => change_lines(&mut text, dice),
            8 => replace_rest_of_line(&mut text, dice),
            _ => add_structure(&mut text, dice),
        }
    }
    let mut bytes = text.into_bytes();
    if dice.one_in(10) {
        bytes::mutate(&mut bytes, bytes::ALL, dice);
    }
    bytes
}

/// A number, word or path between the signs of the language becomes another value.
fn replace_token(text: &mut String, dice: &mut Dice) {
    let keys = dice.one_in(5);
    let is_sign = |c: char| c.is_whitespace() || ":,[]{}'\"#".contains(c);
    let mut tokens = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices() {
        match (is_sign(c), start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                // Another name for a key is soon told; another value reaches deeper.
                if c != ':' || keys {
                    tokens.push(from..at);
                }
                start = None;
            }
            _ => {}
        }
    }
    if tokens.is_empty() {
        return;
    }
    let here = dice.pick(&tokens);
    let other = text[dice.pick(&tokens)].to_owned();
    let value = if dice.one_in(3) { other } else { value(dice) };
    text.replace_range(here, &value);
}

fn replace_rest_of_line(text: &mut String, dice: &mut Dice) {
    let starts: Vec<usize> = text.match_indices([':', '-']).map(|(at, _)| at + 1).collect();
    if starts.is_empty() {
        return;
    }
    let start = dice.pick(&starts);
    let end = text[start..].find('\n').map_or(text.len(), |len| start + len);
    text.replace_range(start..end, &format!(" {}", value(dice)));
}

fn change_lines(text: &mut String, dice: &mut Dice) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (one, other) = (dice.below(lines.len()), dice.below(lines.len()));
    if lines.is_empty() {
        return;
    }
    match dice.below(7) {
        0 => drop(lines.remove(one)),
        1 => lines.insert(other, lines[one].clone()),
        2 => lines.swap(one, other),
        3 => {
            // A key of one section, moved into another.
            let line = lines.remove(one);
            lines.insert(other.min(lines.len()), line);
        }
        4 => lines[one].insert_str(0, dice.pick(&[" ", "  ", "    ", "\t", "- ", "\r", "\u{feff}"])),
        5 => lines[one] = lines[one].trim_start().to_owned(),
        _ => {
            let line = lines.remove(one);
            let before = one.saturating_sub(1);
            match lines.get_mut(before) {
                Some(above) => *above += &line,
                None => lines.push(line),
            }
        }
    }
    *text = lines.join(dice.pick(&["\n", "\n", "\n", "\r\n", "\r"])) + "\n";
}

/// Bombs of aliases, depth and length, and documents after the first.
fn add_structure(text: &mut String, dice: &mut Dice) {
    let line_ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).chain([0]).collect();
    let at = dice.pick(&line_ends);
    let added = match dice.below(8) {
        0 => {
            let level = |level: usize| {
                let below = if level == 0 { "x".to_owned() } else { format!("*a{}", level - 1) };
                format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "))
            };
            (0..12).map(level).collect()
        }
        1 => format!("{}a\n", "- ".repeat(20_000)),
        2 => format!("classes: {}\n", "[".repeat(50_000)),
        3 => (0..3000).map(|index| format!("key{index}: {index}\n")).collect(),
        4 => "---\nclasses: [a]\n...\n".to_owned(),
        5 => "%YAML 9.9\n%TAG ! tag:a,2000:\n---\n".to_owned(),
        6 => text.clone(),
        _ => format!("# {}\n", "c".repeat(2 << 20)),
    };
    text.insert_str(at, &added);
}
