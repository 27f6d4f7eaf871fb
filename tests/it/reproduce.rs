//! `segearth reproduce` on a made-up miniature of each data set in its published folders, with figures counted again: here, and with
//! NumPy by `count_paper.py`.

use std::path::Path;
use std::process::Command;

use gdal::Dataset;
use gdal::DriverManager;
use gdal::raster::Buffer;
use insta::assert_snapshot;
use segearth_testing::skipped;
use serde_json::Value;

use crate::scenes::{noise, read_band};
use crate::workdir::{Workdir, files_below, repository};

/// Pixels of truth in a miniature.
#[derive(Clone, Copy)]
enum Codes {
    /// One band.
    Values(&'static [u8]),
    /// Three bands.
    Colours(&'static [[u8; 3]]),
}

/// A miniature: images with their truth, all of one size, and what its truth means.
struct Mini {
    set: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// Images with their truth that the protocol leaves out.
    others: &'static [(&'static str, &'static str)],
    size: (usize, usize),
    codes: Codes,
    classes: usize,
    /// The class of stored truth, of a value or of red, green and blue; `None`: it does not count.
    class: fn([u8; 3]) -> Option<i64>,
    /// Column, row, width and height of the tiles.
    tiles: &'static [(usize, usize, usize, usize)],
}

const LAND_COVER: Codes = Codes::Values(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 255, 9]);
const MASK: Codes = Codes::Values(&[0, 255, 127, 128]);
const MASK_RGB: Codes = Codes::Colours(&[[0; 3], [255; 3], [127; 3], [128; 3]]);

fn plain([value, ..]: [u8; 3]) -> Option<i64> {
    (value != 255).then_some(i64::from(value))
}

fn reduced([value, ..]: [u8; 3]) -> Option<i64> {
    (value != 0 && value != 255).then(|| i64::from(value) - 1)
}

fn half([value, ..]: [u8; 3]) -> Option<i64> {
    Some(i64::from(value >= 128))
}

/// The class of a colour among those of a set; `None`: it is none of them.
fn among(colours: &[[u8; 3]], colour: [u8; 3]) -> Option<i64> {
    colours.iter().position(|known| *known == colour).map(|class| class as i64)
}

fn isprs(colour: [u8; 3]) -> Option<i64> {
    among(&ISPRS[..6], colour)
}

/// Then a border, which does not count, and a colour that no class has.
const ISPRS: &[[u8; 3]] =
    &[[255; 3], [0, 0, 255], [0, 255, 255], [0, 255, 0], [255, 255, 0], [255, 0, 0], [0; 3], [9, 9, 9]];

/// Then a colour that no class has.
const ISAID: &[[u8; 3]] = &[
    [0; 3],
    [0, 0, 63],
    [0, 63, 63],
    [0, 63, 0],
    [0, 63, 127],
    [0, 63, 191],
    [0, 63, 255],
    [0, 127, 63],
    [0, 127, 127],
    [0, 0, 127],
    [0, 0, 191],
    [0, 0, 255],
    [0, 191, 127],
    [0, 127, 191],
    [0, 127, 255],
    [0, 100, 155],
    [7, 7, 7],
];

/// Then cars that move, and a colour that no class has.
const UAVID: &[[u8; 3]] = &[
    [0; 3],
    [128, 0, 0],
    [128, 64, 128],
    [192, 0, 192],
    [0, 128, 0],
    [128, 128, 0],
    [64, 64, 0],
    [64, 0, 128],
    [1, 2, 3],
];

const DEEPGLOBE: &[[u8; 3]] =
    &[[0, 255, 255], [255, 255, 0], [255, 0, 255], [0, 255, 0], [0, 0, 255], [255; 3], [0; 3], [1, 2, 3]];

#[rustfmt::skip]
const LAND_COVER_SETS: [Mini; 9] = [
    Mini {
        set: "openearthmap",
        files: &[("aachen/images/aachen_5.tif", "aachen/labels/aachen_5.tif"), ("koeln/images/koeln_1.tif", "koeln/labels/koeln_1.tif")],
        others: &[("koeln/images/koeln_2.tif", "koeln/labels/koeln_2.tif")],
        size: (50, 40), codes: LAND_COVER, classes: 9, class: plain, tiles: &[(0, 0, 50, 40)],
    },
    Mini {
        set: "loveda",
        files: &[("Val/Urban/images_png/3.png", "Val/Urban/masks_png/3.png"), ("Val/Rural/images_png/3.png", "Val/Rural/masks_png/3.png")],
        others: &[("Train/Urban/images_png/4.png", "Train/Urban/masks_png/4.png")],
        size: (64, 64), codes: LAND_COVER, classes: 7, class: reduced, tiles: &[(0, 0, 64, 64)],
    },
    Mini {
        set: "isaid",
        files: &[("val/images/P0003.png", "val/Semantic_masks/images/P0003_instance_color_RGB.png")],
        others: &[("train/images/P0001.png", "train/Semantic_masks/images/P0001_instance_color_RGB.png")],
        size: (1000, 700),
        codes: Codes::Colours(ISAID), classes: 16, class: |colour| Some(among(&ISAID[..16], colour).unwrap_or(0)),
        tiles: &[(0, 0, 896, 896), (104, 0, 896, 896)],
    },
    Mini {
        set: "potsdam",
        files: &[("2_Ortho_RGB/top_potsdam_2_13_RGB.tif", "5_Labels_all_noBoundary/top_potsdam_2_13_label_noBoundary.tif")],
        others: &[("2_Ortho_RGB/top_potsdam_2_10_RGB.tif", "5_Labels_all_noBoundary/top_potsdam_2_10_label_noBoundary.tif")],
        size: (600, 520), codes: Codes::Colours(ISPRS), classes: 6, class: isprs,
        tiles: &[(0, 0, 512, 512), (88, 0, 512, 512), (0, 8, 512, 512), (88, 8, 512, 512)],
    },
    Mini {
        set: "vaihingen",
        files: &[("top/top_mosaic_09cm_area2.tif",
                  "ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE/top_mosaic_09cm_area2_noBoundary.tif")],
        others: &[("top/top_mosaic_09cm_area1.tif",
                  "ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE/top_mosaic_09cm_area1_noBoundary.tif")],
        size: (530, 400), codes: Codes::Colours(ISPRS), classes: 6, class: isprs, tiles: &[(0, 0, 512, 400), (18, 0, 512, 400)],
    },
    Mini {
        set: "uavid",
        files: &[("test_gt/seq21/Images/000000.png", "test_gt/seq21/Labels/000000.png")],
        others: &[], size: (1290, 1080), codes: Codes::Colours(UAVID), classes: 7,
        class: |colour| Some(if colour == UAVID[7] { 3 } else { among(&UAVID[..7], colour).unwrap_or(0) }),
        tiles: &[(0, 0, 1280, 1080), (10, 0, 1280, 1080)],
    },
    Mini {
        set: "udd5", files: &[("val/src/000.JPG", "val/gt/000.png")], others: &[], size: (60, 45),
        codes: Codes::Values(&[0, 1, 2, 3, 4]), classes: 5, class: plain, tiles: &[(0, 0, 60, 45)],
    },
    Mini {
        set: "vdd", files: &[("test/src/a.JPG", "test/gt/a.png")], others: &[], size: (60, 45),
        codes: LAND_COVER, classes: 7, class: plain, tiles: &[(0, 0, 60, 45)],
    },
    Mini {
        set: "deepglobe", files: &[("train/119_sat.jpg", "train/119_mask.png")], others: &[], size: (48, 48),
        codes: Codes::Colours(DEEPGLOBE), classes: 7,
        class: |colour| Some(among(&DEEPGLOBE[..7], colour).unwrap_or(0)),
        tiles: &[(0, 0, 48, 48)],
    },
];

#[rustfmt::skip]
const SINGLE_CLASS_SETS: [Mini; 9] = [
    Mini {
        set: "whu_aerial", files: &[("val/image/1.tif", "val/label/1.tif")], others: &[], size: (64, 64),
        codes: MASK, classes: 2, class: half, tiles: &[(0, 0, 64, 64)],
    },
    Mini {
        set: "whu_sat_ii", files: &[("1.cropped/test/image/0_1.tif", "1.cropped/test/label/0_1.tif")],
        others: &[], size: (64, 64), codes: MASK, classes: 2, class: half, tiles: &[(0, 0, 64, 64)],
    },
    Mini {
        set: "inria", files: &[("train/images/vienna3.tif", "train/gt/vienna3.tif")],
        others: &[("train/images/vienna1.tif", "train/gt/vienna1.tif")],
        size: (1010, 300), codes: MASK, classes: 2, class: half, tiles: &[(0, 0, 1000, 300), (10, 0, 1000, 300)],
    },
    Mini {
        set: "xbd",
        files: &[("test/images/guatemala_00000003_pre_disaster.png", "test/targets/guatemala_00000003_pre_disaster_target.png")],
        others: &[("test/images/guatemala_00000003_post_disaster.png", "test/targets/guatemala_00000003_post_disaster_target.png")],
        size: (64, 64), codes: Codes::Values(&[0, 1, 4]), classes: 2,
        class: |[value, ..]| Some(i64::from(value >= 1)), tiles: &[(0, 0, 64, 64)],
    },
    Mini {
        set: "chn6-cug", files: &[("val/images/am100001_sat.jpg", "val/gt/am100001_mask.png")], others: &[], size: (64, 64),
        codes: MASK_RGB, classes: 2, class: half, tiles: &[(0, 0, 64, 64)],
    },
    Mini {
        set: "deepglobe_road", files: &[("DeepGlobe_valid_1530/img/7_sat.jpg", "DeepGlobe_valid_1530/gt/7_mask.png")],
        others: &[], size: (64, 64), codes: MASK, classes: 2, class: half, tiles: &[(0, 0, 64, 64)],
    },
    Mini {
        set: "massachusetts_road", files: &[("Massachusetts_test_49/img/1_1.jpg", "Massachusetts_test_49/gt/1_1.png")],
        others: &[], size: (90, 64), codes: MASK, classes: 2, class: half, tiles: &[(0, 0, 90, 64)],
    },
    Mini {
        set: "spacenet_road", files: &[("SpaceNet_test_567/img/a_b.jpg", "SpaceNet_test_567/gt/a_b.png")],
        others: &[], size: (64, 90), codes: MASK, classes: 2, class: half, tiles: &[(0, 0, 64, 90)],
    },
    Mini {
        set: "wbs-si", files: &[("Images/water_body_8.jpg", "Masks/water_body_8.jpg")],
        others: &[("Images/water_body_9.jpg", "Masks/water_body_9.jpg")],
        size: (37, 30), codes: Codes::Values(&[0, 255]), classes: 2, class: half, tiles: &[(0, 0, 37, 30)],
    },
];

/// Writes bands of bytes in the format of the file's ending.
pub fn write(path: &Path, (width, height): (usize, usize), bands: &[Vec<u8>]) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let memory = DriverManager::get_driver_by_name("MEM").expect("the driver of memory");
    let dataset = memory.create("", width, height, bands.len()).expect("a raster");
    for (index, pixels) in bands.iter().enumerate() {
        let mut band = dataset.rasterband(index + 1).expect("a band");
        band.write((0, 0), (width, height), &mut Buffer::new((width, height), pixels.clone())).expect("pixels");
    }
    let ending = path.extension().expect("an ending").to_string_lossy().to_lowercase();
    let format = match ending.as_str() {
        "jpg" => "JPEG",
        "png" => "PNG",
        _ => "GTiff",
    };
    let driver = DriverManager::get_driver_by_name(format).expect("a driver");
    dataset
        .create_copy(&driver, path, &gdal::raster::RasterCreationOptions::default())
        .expect("a file")
        .close()
        .expect("a file");
}

fn bands(path: &Path) -> (usize, Vec<Vec<u8>>) {
    let dataset = Dataset::open(path).expect("a raster");
    (dataset.raster_size().0, (1..=dataset.raster_count()).map(|band| read_band(&dataset, band)).collect())
}

impl Mini {
    fn make(&self, folder: &Path) {
        let pixels = self.size.0 * self.size.1;
        // Patches of several pixels, so that lossy compression and the resize keep most of them.
        let (patch_width, patch_height) = (self.size.0.div_ceil(12), self.size.1.div_ceil(8));
        for (image, truth) in self.files.iter().chain(self.others) {
            // Another picture for each image.
            let first = truth.bytes().map(usize::from).sum::<usize>();
            let code = |at: usize| first + at % self.size.0 / patch_width + at / self.size.0 / patch_height * 3;
            let (stored, truth_bands): (Vec<[u8; 3]>, usize) = match self.codes {
                Codes::Values(values) => ((0..pixels).map(|at| [values[code(at) % values.len()]; 3]).collect(), 1),
                Codes::Colours(colours) => ((0..pixels).map(|at| colours[code(at) % colours.len()]).collect(), 3),
            };
            // As bright as the class is for the model, more or less: every class is found, and not always rightly.
            let noise = noise(3 * pixels);
            let bright = |class: i64| (class as f64 + 0.5) * 256.0 / self.classes as f64;
            let planes: Vec<Vec<u8>> = (noise.chunks(pixels))
                .map(|noise| {
                    let bright = stored.iter().map(|stored| (self.class)(*stored).map_or(128.0, bright));
                    bright.zip(noise).map(|(bright, noise)| (bright + f64::from(*noise) - 128.0) as u8).collect()
                })
                .collect();
            write(&folder.join(image), self.size, &planes);
            let planes: Vec<Vec<u8>> =
                (0..truth_bands).map(|band| stored.iter().map(|stored| stored[band]).collect()).collect();
            write(&folder.join(truth), self.size, &planes);
        }
        if self.set == "openearthmap" {
            std::fs::write(folder.join("val.txt"), "aachen_5.tif\nkoeln_1.tif\n").expect("a list");
        }
    }

    /// Pixels by class that prediction and truth agree on, that are predicted and that are true: counted from the files.
    fn count(&self, data: &Path, labels: &Path) -> [Vec<u64>; 3] {
        let mut counts = [vec![0; self.classes], vec![0; self.classes], vec![0; self.classes]];
        let mut files: Vec<_> =
            std::fs::read_dir(labels).expect("labels").map(|entry| entry.expect("an entry").path()).collect();
        files.retain(|path| path.to_string_lossy().ends_with("_labels.tif"));
        assert_eq!(files.len(), self.files.len() * self.tiles.len(), "{}", self.set);
        let mut used = 0;
        for (image, truth) in self.files {
            let (width, truth) = bands(&data.join(truth));
            let height = truth[0].len() / width;
            let stem = |file: &Path| file.file_name().expect("a name").to_string_lossy().into_owned();
            let image = Path::new(image).to_string_lossy().into_owned();
            for &(col, row, tile_width, tile_height) in self.tiles {
                let end =
                    if self.tiles.len() > 1 { format!("_{row}_{col}_labels.tif") } else { "_labels.tif".to_owned() };
                // The file whose name has all that distinguishes the image from the others of the set.
                let own = |file: &&std::path::PathBuf| {
                    stem(file).ends_with(&end)
                        && stem(file).trim_end_matches(&end).split('_').all(|part| image.contains(part))
                };
                let file = files
                    .iter()
                    .find(own)
                    .unwrap_or_else(|| panic!("{}: no labels of {image}{end}: {files:?}", self.set));
                let (found_width, found) = bands(file);
                assert_eq!((found_width, found[0].len()), (tile_width, tile_width * tile_height), "{}", self.set);
                used += 1;
                for y in 0..tile_height.min(height - row) {
                    for x in 0..tile_width.min(width - col) {
                        let at = (row + y) * width + col + x;
                        let code = [0, 1, 2].map(|band| truth[band.min(truth.len() - 1)][at]);
                        let Some(class) = (self.class)(code) else { continue };
                        let predicted = usize::from(found[0][y * tile_width + x]);
                        if predicted < self.classes {
                            counts[1][predicted] += 1;
                            counts[0][predicted] += u64::from(predicted as i64 == class);
                        }
                        if let Some(count) = counts[2].get_mut(class as usize) {
                            *count += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(used, files.len());
        counts
    }
}

/// The first Python that has NumPy and Pillow.
fn python() -> Option<String> {
    let named = std::env::var("SEGEARTH_PYTHON").ok();
    let candidates = named.into_iter().chain(["python3", "/usr/bin/python3"].map(str::to_owned));
    let has = |python: &String| {
        Command::new(python).args(["-c", "import numpy, PIL"]).output().is_ok_and(|ran| ran.status.success())
    };
    candidates.into_iter().find(has)
}

/// Compares the tables of all sets with what NumPy counts in the same files.
#[track_caller]
fn compare_with_numpy(work: &Workdir, minis: &[Mini]) {
    let Some(python) = python() else {
        skipped("no Python with NumPy and Pillow");
        return;
    };
    let mut counting = Command::new(python);
    counting.arg(repository("tests/it/count_paper.py")).arg(work.path("data"));
    counting.arg(work.path("paper/{set}_fake_levels/labels")).args(minis.iter().map(|mini| mini.set));
    let ran = counting.output().expect("Python starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let counted: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    let table = std::fs::read_to_string(work.path("paper/results.csv")).expect("a table");
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().expect("a head");
    let rows: Vec<Vec<&str>> = lines.collect();
    for mini in minis {
        let set = mini.set;
        let cells = rows.iter().find(|cells| cells[0] == set).unwrap_or_else(|| panic!("no row of {set}: {table}"));
        let cell = |name: &str| cells[head.iter().position(|column| *column == name).expect("a column")];
        let counted = &counted[set];
        for name in ["images", "tiles"] {
            assert_eq!(cell(name), counted[name].to_string(), "{set}: {name}");
        }
        let percent = |name: &str| format!("{:.2}", counted[name].as_f64().expect("a figure"));
        for name in ["aAcc", "mAcc", "mIoU"] {
            assert_eq!(cell(name), percent(name), "{set}: {name}");
        }
        let figure = if mini.classes == 2 { "foreground" } else { "mIoU" };
        assert_eq!(cell("here"), percent(figure), "{set}: {figure}");
        let row = std::fs::read(work.path(&format!("paper/{set}_fake_levels/row.json"))).expect("a row");
        let row: Value = serde_json::from_slice(&row).expect("JSON");
        let (found, counted_iou) =
            (row["classes"].as_array().expect("classes"), counted["iou"].as_array().expect("IoU"));
        assert_eq!(found.len(), counted_iou.len(), "{set}");
        for (class, counted) in found.iter().zip(counted_iou) {
            let difference = class[1].as_f64().expect("an IoU") - counted.as_f64().expect("an IoU");
            assert!(difference.abs() < 1e-9, "{set}: {class}, NumPy counts {counted}");
        }
        // A class that is never found would hide another rule for its truth.
        let hits: Vec<u64> = counted["hits"].as_array().expect("hits").iter().filter_map(Value::as_u64).collect();
        assert!(hits.len() == mini.classes && hits.iter().all(|hits| *hits > 0), "{set}: {hits:?}");
        println!("{set}: aAcc {}, mAcc {}, mIoU {}, figure {}", cell("aAcc"), cell("mAcc"), cell("mIoU"), cell("here"));
    }
}

fn run(minis: &[Mini]) {
    let work = Workdir::new();
    for mini in minis {
        let data = work.path(&format!("data/{}", mini.set));
        mini.make(&data);
        let before = crate::workdir::files_below(&data);
        let ran = work.ok(["reproduce", mini.set, "--data", &data.to_string_lossy(), "--model", "fake:levels"]);
        assert_eq!(crate::workdir::files_below(&data), before, "{}: the data set is left as it is", mini.set);
        let folder = work.path(&format!("paper/{}_fake_levels", mini.set));
        let [hits, predicted, truth] = mini.count(&data, &folder.join("labels"));
        let row: Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("row.json")).expect("a row")).expect("JSON");
        let ious: Vec<Option<f64>> = (0..mini.classes)
            .map(|class| {
                let union = predicted[class] + truth[class] - hits[class];
                (union > 0).then(|| 100.0 * hits[class] as f64 / union as f64)
            })
            .collect();
        for (class, want) in row["classes"].as_array().expect("classes").iter().zip(&ious) {
            let got = class[1].as_f64();
            let same = got.zip(*want).map_or(got.is_none() && want.is_none(), |(got, want)| (got - want).abs() < 1e-9);
            assert!(same, "{}: {class}, counted {want:?}", mini.set);
        }
        let known: Vec<f64> = ious.iter().flatten().copied().collect();
        let miou = known.iter().sum::<f64>() / known.len() as f64;
        assert!((row["miou"].as_f64().expect("mIoU") - miou).abs() < 1e-9, "{}", mini.set);
        let accuracy = 100.0 * hits.iter().sum::<u64>() as f64 / truth.iter().sum::<u64>() as f64;
        assert!((row["overall_accuracy"].as_f64().expect("aAcc") - accuracy).abs() < 1e-9, "{}", mini.set);
        let figure = if mini.classes == 2 { ious[1].expect("IoU") } else { miou };
        assert!(ran.stdout.contains(&format!("| {figure:.2} |")), "{}: {}", mini.set, ran.stdout);
        assert!(hits.iter().sum::<u64>() > 0, "{}: nothing agrees, so nothing is tested", mini.set);
    }
    let table = std::fs::read_to_string(work.path("paper/results.md")).expect("a table");
    assert_eq!(table.lines().filter(|line| line.contains("fake:levels")).count(), minis.len(), "{table}");
    compare_with_numpy(&work, minis);
}

#[test]
fn land_cover_figures_are_those_counted_again_and_by_numpy() {
    run(&LAND_COVER_SETS);
}

#[test]
fn single_class_figures_are_those_counted_again_and_by_numpy() {
    run(&SINGLE_CLASS_SETS);
}

#[test]
fn shards_and_resumed_runs_give_the_row_of_one_run() {
    let work = Workdir::new();
    let mini = &LAND_COVER_SETS[3];
    mini.make(&work.path("data"));
    let reproduce = |output: &str, more: &[&str]| {
        let mut args = vec!["reproduce", "potsdam", "--data", "data", "--model", "fake:identity", "-o", output];
        args.extend(more);
        work.ok(args)
    };
    reproduce("whole", &[]);
    for shard in ["1/2", "2/2"] {
        let ran = reproduce("parts", &["--shard", shard]);
        assert!(ran.stderr.contains("give the command without --shard"), "{}", ran.stderr);
        assert!(!work.path("parts/potsdam_fake_identity/row.json").exists());
    }
    reproduce("parts", &[]);
    let row =
        |output: &str| std::fs::read(work.path(&format!("{output}/potsdam_fake_identity/row.json"))).expect("a row");
    assert_eq!(row("whole"), row("parts"));
    // Everything is there: the labels are kept as they are.
    let labels = crate::workdir::files_below(&work.path("whole/potsdam_fake_identity/labels"));
    reproduce("whole", &[]);
    assert_eq!(crate::workdir::files_below(&work.path("whole/potsdam_fake_identity/labels")), labels);
}

#[test]
fn wrong_names_are_explained() {
    let work = Workdir::new();
    LAND_COVER_SETS[1].make(&work.path("data"));
    assert!(work.refused("reproduce coco --data data").contains("The data sets are openearthmap, loveda"));
    let said = work.refused("reproduce loveda --data data --model fake:identity --only 77");
    assert!(said.contains("no image of LoveDA has 77") && said.contains("such as Rural_3, Urban_3."), "{said}");
    let job = work.ok(["reproduce", "loveda", "--print-job"]).stdout;
    assert!(job.contains("resolution: {long_side: 448}") && job.contains("- 'building,roof,house'"), "{job}");
    assert!(work.ok(["reproduce", "loveda", "--pool", "--print-job"]).stdout.contains("pond"));
}

#[test]
fn wrong_folders_are_explained() {
    let work = Workdir::new();
    LAND_COVER_SETS[1].make(&work.path("sets/LoveDA"));
    let reproduce = |set: &str, data: &str| work.refused(&format!("reproduce {set} --data {data} --model fake:levels"));
    std::fs::create_dir(work.path("empty")).expect("a folder");
    assert_snapshot!(reproduce("loveda", "empty"), @"
    error: empty does not hold LoveDA; looked for
      Val/*/images_png/*.png (0 files) with Val/*/masks_png/*.png (0 files)
      Val/Val/*/images_png/*.png (0 files) with Val/Val/*/masks_png/*.png (0 files)
    found an empty folder

    hint: Unpack the data set and give the folder that holds these names. `*` stands for any text in a name.
    ");
    assert_snapshot!(reproduce("vdd", "sets/LoveDA"), @"
    error: sets/LoveDA does not hold VDD; looked for
      test/src/*.JPG (0 files) with test/gt/*.png (0 files)
    found Train/, Val/

    hint: It holds loveda: `segearth reproduce loveda`.
    ");
    assert_snapshot!(reproduce("loveda", "sets"), @"
    error: sets does not hold LoveDA; looked for
      Val/*/images_png/*.png (0 files) with Val/*/masks_png/*.png (0 files)
      Val/Val/*/images_png/*.png (0 files) with Val/Val/*/masks_png/*.png (0 files)
    found LoveDA/

    hint: sets/LoveDA holds it: give that folder.
    ");
    let copy = |to: &str, name: &dyn Fn(&str) -> Option<String>| {
        for (path, (content, _)) in files_below(&work.path("sets/LoveDA/Val")) {
            let below =
                path.strip_prefix(work.path("sets/LoveDA")).expect("a path below").to_string_lossy().into_owned();
            if let Some(name) = name(&below) {
                work.write(&format!("{to}/{name}"), content);
            }
        }
    };
    let is_image = |name: &str| name.contains("images_png");
    copy("images", &|name| is_image(name).then(|| name.to_owned()));
    assert_snapshot!(reproduce("loveda", "images"), @"
    error: images does not hold LoveDA; looked for
      Val/*/images_png/*.png (2 files) with Val/*/masks_png/*.png (0 files):
        no truth; Val/Rural has images_png/
      Val/Val/*/images_png/*.png (0 files) with Val/Val/*/masks_png/*.png (0 files)
    found Val/

    hint: Put images and truth into folders and under names as they are published. `*` stands for any text in a name.
    ");
    copy("renamed", &|name| Some(if is_image(name) { name.to_owned() } else { name.replace("3.png", "mask_3.png") }));
    assert_snapshot!(reproduce("loveda", "renamed"), @"
    error: renamed does not hold LoveDA; looked for
      Val/*/images_png/*.png (2 files) with Val/*/masks_png/*.png (2 files):
        no image has its truth: Val/Rural/images_png/3.png needs Val/Rural/masks_png/3.png, not Val/Rural/masks_png/mask_3.png
      Val/Val/*/images_png/*.png (0 files) with Val/Val/*/masks_png/*.png (0 files)
    found Val/

    hint: Put images and truth into folders and under names as they are published. `*` stands for any text in a name.
    ");
    // A set that lacks some truth is counted without these images, and says so.
    copy("partial", &|name| (name != "Val/Urban/masks_png/3.png").then(|| name.to_owned()));
    let ran = work.ok(["reproduce", "loveda", "--data", "partial", "--model", "fake:levels"]);
    assert_snapshot!(
        ran.stderr,
        @"note: 1 image of LoveDA has no truth and is left out: partial/Val/Urban/images_png/3.png, for which there is no partial/Val/Urban/masks_png/3.png. The figure is not of the whole set."
    );
    assert!(ran.stdout.contains("| loveda | fake:levels | 1 | 1 |"), "{}", ran.stdout);
}
