//! Examples from a label raster: blocks of the scene's grid, so that validation can leave out whole blocks.

use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::ops::Range;

use super::super::align::blocks;
use super::super::{ABSENT, AlignedRaster, CodedRaster, Coding};
use super::{ClassList, Example, ExampleSource, Examples, LabelCodes, Skipped, check_pixels};
use crate::error::{Context, Error, Result};
use crate::geom::{Coverage, Window, spread};
use crate::scene::SceneInfo;

/// Pixels of a block on each axis: the columns of a row are the bits of a word.
const BLOCK: usize = 64;
/// Most blocks of each class.
const BLOCKS_PER_CLASS: usize = 256;

/// The pixels of a class in a block: a word for each row, a bit for each column.
type Mask = [u64; BLOCK];

/// A block of one class that may become an example; the order is that of `priority`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    priority: u64,
    row: usize,
    col: usize,
    pixels: Vec<[usize; 2]>,
}

pub(super) fn read(source: &ExampleSource<'_>, scene: &SceneInfo) -> Result<Examples> {
    let path = source.path.display();
    let mut raster = CodedRaster::open(source.path)?;
    if source.codes.is_some_and(|codes| !codes.colours.is_empty()) {
        raster = raster.as_colours();
    }
    if raster.coding() == Coding::Colours && source.codes.is_none() {
        return Err(Error::input(format!("{path} has colours, and no class map assigns them to classes")).with_hint(
            "Write a class map with a line for each class, such as building: '#3C1098', and pass it with --map.",
        ));
    }
    let raster = AlignedRaster::new(raster, scene)?;
    let mut classes = Classes {
        raster: raster.raster(),
        codes: source.codes,
        list: ClassList::default(),
        known: [(ABSENT, None)].into(),
    };
    let mut heaps: BTreeMap<usize, BinaryHeap<Candidate>> = BTreeMap::new();
    for window in blocks(scene.size) {
        let codes = raster.read(window)?;
        let area = scene.access.area.as_ref().map_or(Coverage::Everything, |area| area.coverage(window));
        if area == Coverage::Nothing {
            continue;
        }
        for cell in cells(window) {
            for (code, mask) in masks(&codes, &area, window, cell) {
                let class = classes.of(code).input(|| format!("cannot learn from {path}"))?;
                let Some(class) = class else { continue };
                keep(heaps.entry(class).or_default(), cell, &mask, source.most.max(1));
            }
        }
    }
    let mut examples = Vec::new();
    let mut count = 0;
    for (class, heap) in heaps {
        let mut blocks = heap.into_vec();
        blocks.sort_unstable_by_key(|block| [block.row, block.col]);
        for Candidate { row, col, pixels, .. } in blocks {
            count += pixels.len();
            check_pixels(count)?;
            let name = format!("block at column {col}, row {row}");
            examples.push(Example { id: examples.len() as u64, class, name, pixels });
        }
    }
    Ok(Examples { classes: classes.list.names, examples, skipped: Skipped::default() })
}

/// Keeps the blocks of a class with the lowest priorities.
fn keep(heap: &mut BinaryHeap<Candidate>, cell: Window, mask: &Mask, most: usize) {
    let priority = priority(cell.col / BLOCK, cell.row / BLOCK);
    if heap.len() == BLOCKS_PER_CLASS {
        if heap.peek().is_none_or(|last| last.priority <= priority) {
            return;
        }
        heap.pop();
    }
    let spans = |row: usize, spans: &mut Vec<Range<usize>>| {
        let word = mask.get(row).copied().unwrap_or(0);
        spans.clear();
        spans.extend((0..BLOCK).filter(|col| word >> col & 1 == 1).map(|col| col..col + 1));
    };
    let pixels = spread(0..cell.height, spans, most);
    let pixels = pixels.into_iter().map(|[col, row]| [cell.col + col, cell.row + row]).collect();
    heap.push(Candidate { priority, row: cell.row, col: cell.col, pixels });
}

/// An order of blocks in which the first ones, however many, are spread over the scene: the bits of column and row in
/// turns, the lowest first.
fn priority(col: usize, row: usize) -> u64 {
    (0..32).fold(0, |order, bit| order << 2 | ((col >> bit & 1) << 1 | row >> bit & 1) as u64)
}

/// The blocks of a window whose sides are multiples of a block's, but at the scene's border.
fn cells(window: Window) -> impl Iterator<Item = Window> {
    let along = |from: usize, length: usize| {
        (0..length).step_by(BLOCK).map(move |start| (from + start, BLOCK.min(length - start)))
    };
    along(window.row, window.height).flat_map(move |(row, height)| {
        along(window.col, window.width).map(move |(col, width)| Window { col, row, width, height })
    })
}

/// The pixels of each code in a block of a window, in the order in which the codes are met.
fn masks(codes: &[i64], area: &Coverage, window: Window, cell: Window) -> Vec<(i64, Mask)> {
    let mut masks: Vec<(i64, Mask)> = Vec::new();
    let mut last = 0;
    for (down, row) in cell.rows().enumerate() {
        let start = (row - window.row) * window.width + cell.col - window.col;
        let here = codes.get(start..start + cell.width).unwrap_or_default();
        for (across, &code) in here.iter().enumerate() {
            let inside = match area {
                Coverage::Part(inside) => inside.get(start + across).copied().unwrap_or(false),
                Coverage::Everything => true,
                Coverage::Nothing => false,
            };
            if code == ABSENT || !inside {
                continue;
            }
            if masks.get(last).is_none_or(|(known, _)| *known != code) {
                last = masks.iter().position(|(known, _)| *known == code).unwrap_or_else(|| {
                    masks.push((code, [0; BLOCK]));
                    masks.len() - 1
                });
            }
            if let Some(word) = masks.get_mut(last).and_then(|(_, mask)| mask.get_mut(down)) {
                *word |= 1 << across;
            }
        }
    }
    masks
}

/// The classes of codes; each distinct code is looked up once.
struct Classes<'a> {
    raster: &'a CodedRaster,
    codes: Option<&'a LabelCodes>,
    list: ClassList,
    known: HashMap<i64, Option<usize>>,
}

impl Classes<'_> {
    /// The class of a code; `None`: its pixels are no examples.
    fn of(&mut self, code: i64) -> Result<Option<usize>> {
        if let Some(class) = self.known.get(&code) {
            return Ok(*class);
        }
        let name = match self.codes {
            Some(codes) => self.mapped(codes, code)?,
            None => Some(self.raster.names().get(code).map_or_else(|| code.to_string(), str::to_owned)),
        };
        let class = name.map(|name| self.list.index(&name)).transpose()?;
        self.known.insert(code, class);
        Ok(class)
    }

    fn mapped(&self, codes: &LabelCodes, code: i64) -> Result<Option<String>> {
        let (class, shown) = match self.raster.coding() {
            Coding::Values => {
                let name = self.raster.names().get(code);
                let by_name = || codes.names.get(&name?.trim().to_lowercase());
                let shown = name.map_or_else(|| format!("value {code}"), |name| format!("value {code} ({name})"));
                (codes.values.get(&code).or_else(by_name), shown)
            }
            Coding::Colours => {
                let [_, red, green, blue] = (code as u32).to_be_bytes();
                (codes.colours.get(&[red, green, blue]), format!("colour #{red:02X}{green:02X}{blue:02X}"))
            }
        };
        class.cloned().ok_or_else(|| {
            Error::input(format!("it has the {shown}, which the class map does not assign"))
                .with_hint("Assign it to a class or to 'ignore' in the class map (--map).")
        })
    }
}
