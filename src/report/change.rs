//! What changed between two maps, as a table on the terminal.

#![expect(clippy::indexing_slicing, reason = "indices of classes, made by counting them")]

use std::fmt::Write as _;
use std::path::Path;

use super::text::{AreaScale, grouped, left, printable_line, right};
use super::{Output, Reporter};
use crate::change::{Cell, Change};
use crate::pipeline::without_credentials;

/// Classes up to which the matrix is shown, and transitions that are listed.
const MATRIX: usize = 10;
const LISTED: usize = 12;
/// Letters of a class name that are shown in the matrix.
const NAME: usize = 18;

impl Reporter {
    /// What changed, and where the files are.
    pub fn change(&self, change: &Change, outputs: &[Output<'_>]) {
        if !self.quiet {
            self.print(&without_credentials(&render(change, outputs)));
        }
    }
}

fn render(change: &Change, outputs: &[Output<'_>]) -> String {
    let (all, changed) = (change.sum(|_, _| true), change.sum(|from, to| from != to));
    let scale = AreaScale::new(all.area);
    let number = |cell: Cell| if change.has_areas { scale.number(cell.area) } else { grouped(cell.pixels) };
    let unit = if change.has_areas { scale.unit() } else { "pixels" };
    let percent = |part: u64, whole: u64| format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64);
    let file = |path: &Path| printable_line(&path.display().to_string());
    let mut text = format!(
        "{} to {}: {} pixels compared{}, {} changed\n",
        file(&change.before),
        file(&change.after),
        grouped(all.pixels),
        if change.has_areas { format!(", {}", scale.show(all.area)) } else { String::new() },
        percent(changed.pixels, all.pixels)
    );
    let left_out = [
        (change.counts.ignored, "ignored"),
        (change.counts.without_before, "without a label before"),
        (change.counts.without_after, "without a label after"),
    ];
    let left_out: Vec<String> = left_out
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, why)| format!("{} {why}", grouped(*count)))
        .collect();
    if !left_out.is_empty() {
        let _ = writeln!(text, "excluded: {}", left_out.join(", "));
    }
    text.push('\n');

    let names: Vec<String> = change.classes.iter().map(|class| short(&printable_line(&class.name))).collect();
    let classes = names.len();
    if classes <= MATRIX {
        let mut table = vec![[vec![format!("{unit}, from ↓ to →")], names.clone(), vec!["before".into()]].concat()];
        for (from, name) in names.iter().enumerate() {
            let cells = (0..classes).map(|to| number(change.cell(from, to)));
            let total = number(change.sum(|a, _| a == from));
            table.push(std::iter::once(name.clone()).chain(cells).chain([total]).collect());
        }
        let totals = (0..classes).map(|to| number(change.sum(|_, b| b == to)));
        table.push(std::iter::once("after".to_owned()).chain(totals).chain([number(all)]).collect());
        text += &aligned(&table);
        text.push('\n');
    }

    let largest = change.largest();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) + "of ".len();
    let mut table = Vec::new();
    for &value in largest.iter().take(LISTED) {
        let (from, to) = (value / classes, value % classes);
        let (cell, before) = (change.cell(from, to), change.sum(|a, _| a == from));
        let share = percent(cell.pixels, before.pixels);
        let (what, of) = (format!("{} → {}", names[from], names[to]), left(&format!("of {}", names[from]), longest));
        table.push(vec![what, format!("{} {unit}", number(cell)), share, of]);
    }
    text += &aligned(&table);
    if largest.len() > LISTED {
        let _ = writeln!(text, "… and {} smaller changes", largest.len() - LISTED);
    }
    if !largest.is_empty() {
        text.push('\n');
    }
    let width = outputs.iter().map(|output| output.what.len()).max().unwrap_or(0);
    for output in outputs {
        let detail = if output.detail.is_empty() { String::new() } else { format!("  ({})", output.detail) };
        let _ = writeln!(text, "{}  {}{detail}", left(output.what, width), file(output.path));
    }
    text
}

/// The first column to the left, the others to the right.
fn aligned(table: &[Vec<String>]) -> String {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| table.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in table {
        let cells = row.iter().zip(&widths).enumerate();
        let cells: Vec<String> =
            cells.map(|(at, (cell, &width))| if at == 0 { left(cell, width) } else { right(cell, width) }).collect();
        let _ = writeln!(text, "  {}", cells.join("  ").trim_end());
    }
    text
}

fn short(name: &str) -> String {
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    name.chars().take(NAME - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::PixelCounts;
    use crate::scene::ClassInfo;

    fn change(names: &[&str], pixels: &[u64]) -> Change {
        Change {
            before: "2012.tif".into(),
            after: "2017.tif".into(),
            classes: names.iter().map(|name| ClassInfo { name: (*name).into(), colour: [0; 3] }).collect(),
            cells: pixels.iter().map(|&pixels| Cell { pixels, area: pixels as f64 * 25.0 }).collect(),
            counts: PixelCounts { compared: pixels.iter().sum(), without_before: 934, ..PixelCounts::default() },
            warped: true,
            has_areas: true,
            thresholds: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn change_shows_matrix_and_largest_transitions() {
        let change =
            change(&["water", "dry land", "a class with a long name\n"], &[400, 10, 0, 2000, 30_000, 5, 0, 0, 0]);
        let outputs = [Output { what: "transitions", path: Path::new("out/change.tif"), detail: String::new() }];
        insta::assert_snapshot!(render(&change, &outputs), @r"
        2012.tif to 2017.tif: 32,415 pixels compared, 81.04 ha, 6.2 % changed
        excluded: 934 without a label before

          ha, from ↓ to →     water  dry land  a class with a lo…  before
          water                1.00      0.03                0.00    1.02
          dry land             5.00     75.00                0.01   80.01
          a class with a lo…   0.00      0.00                0.00    0.00
          after                6.00     75.03                0.01   81.04

          dry land → water               5.00 ha  6.2 %  of dry land
          water → dry land               0.03 ha  2.4 %  of water
          dry land → a class with a lo…  0.01 ha  0.0 %  of dry land

        transitions  out/change.tif
        ");
        let without = Change { has_areas: false, ..change };
        assert!(render(&without, &[]).contains("pixels, from ↓ to →"), "{}", render(&without, &[]));
    }

    #[test]
    fn many_classes_are_listed_without_matrix() {
        let names: Vec<String> = (0..15).map(|class| format!("class {class}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = render(&change(&names, &[7; 225]), &[]);
        assert!(!text.contains("from ↓") && text.contains("… and 198 smaller changes"), "{text}");
        let same = render(&change(&["a", "b"], &[5, 0, 0, 5]), &[]);
        assert!(same.contains("0.0 % changed") && !same.contains('→') || same.matches('→').count() == 1, "{same}");
    }
}
