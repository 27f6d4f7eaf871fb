//! The data sets of the paper: words, thresholds, truth, published folders and figures.

use super::DataSet;
use super::layout::{Layout, Names};
use super::names;
use super::tiles::Tiling;
use crate::evaluate::protocol::TruthRule;
use crate::geom::Size;

/// Truth of a data set, as far as it is constant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Truth {
    /// Values are classes.
    Plain,
    /// Values are classes plus one; 0 does not count.
    ReducedZero,
    /// Values from this on are the second class.
    Threshold(i64),
    /// Colours are values; others are 0.
    Colours { colours: &'static [(u32, i64)], values: &'static [(i64, i64)], reduce_zero: bool },
}

impl Truth {
    pub(super) fn rule(self) -> TruthRule {
        match self {
            Self::Plain => TruthRule::default(),
            Self::ReducedZero => TruthRule { reduce_zero: true, ..TruthRule::default() },
            Self::Threshold(threshold) => TruthRule { threshold: Some(threshold), ..TruthRule::default() },
            Self::Colours { colours, values, reduce_zero } => TruthRule {
                colours: colours.to_vec(),
                other_colours: Some(0),
                values: values.to_vec(),
                reduce_zero,
                ..TruthRule::default()
            },
        }
    }
}

/// A figure of the paper in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// mIoU of land cover, IoU of the second of two classes.
    pub percent: f64,
    /// It was compared with the published table; others are given from memory of it.
    pub checked: bool,
}

const fn checked(percent: f64) -> Option<Published> {
    Some(Published { percent, checked: true })
}

const fn unchecked(percent: f64) -> Option<Published> {
    Some(Published { percent, checked: false })
}

/// Colours of the ISPRS sets; black is a border, and does not count.
const ISPRS: Truth = Truth::Colours {
    colours: &[
        (0x00_0000, 0),
        (0xff_ffff, 1),
        (0x00_00ff, 2),
        (0x00_ffff, 3),
        (0x00_ff00, 4),
        (0xff_ff00, 5),
        (0xff_0000, 6),
    ],
    values: &[],
    reduce_zero: true,
};

const ISAID: Truth = Truth::Colours {
    colours: &[
        (0x00_0000, 0),
        (0x00_003f, 1),
        (0x00_3f3f, 2),
        (0x00_3f00, 3),
        (0x00_3f7f, 4),
        (0x00_3fbf, 5),
        (0x00_3fff, 6),
        (0x00_7f3f, 7),
        (0x00_7f7f, 8),
        (0x00_007f, 9),
        (0x00_00bf, 10),
        (0x00_00ff, 11),
        (0x00_bf7f, 12),
        (0x00_7fbf, 13),
        (0x00_7fff, 14),
        (0x00_649b, 15),
    ],
    values: &[],
    reduce_zero: false,
};

/// Moving cars count as cars.
const UAVID: Truth = Truth::Colours {
    colours: &[
        (0x00_0000, 0),
        (0x80_0000, 1),
        (0x80_4080, 2),
        (0xc0_00c0, 3),
        (0x00_8000, 4),
        (0x80_8000, 5),
        (0x40_4000, 6),
        (0x40_0080, 7),
    ],
    values: &[(7, 3)],
    reduce_zero: false,
};

const DEEPGLOBE: Truth = Truth::Colours {
    colours: &[
        (0x00_ffff, 0),
        (0xff_ff00, 1),
        (0xff_00ff, 2),
        (0x00_ff00, 3),
        (0x00_00ff, 4),
        (0xff_ffff, 5),
        (0x00_0000, 6),
    ],
    values: &[],
    reduce_zero: false,
};

const ISPRS_POTSDAM: &[Layout] = &[Layout {
    images: "2_Ortho_RGB/top_potsdam_*_RGB.tif",
    truth: "5_Labels_all_noBoundary/top_potsdam_*_label_noBoundary.tif",
}];

const ISPRS_VAIHINGEN: &[Layout] = &[
    Layout {
        images: "ISPRS_semantic_labeling_Vaihingen/top/top_mosaic_09cm_area*.tif",
        truth: "ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE/top_mosaic_09cm_area*_noBoundary.tif",
    },
    Layout {
        images: "top/top_mosaic_09cm_area*.tif",
        truth: "ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE/top_mosaic_09cm_area*_noBoundary.tif",
    },
    Layout { images: "top/top_mosaic_09cm_area*.tif", truth: "top_mosaic_09cm_area*_noBoundary.tif" },
];

/// The Global Road Set's validation part, or one folder of it.
const fn road(images: &'static str, truth: &'static str) -> Layout {
    Layout { images, truth }
}

const LAND_COVER: DataSet = DataSet {
    name: "",
    title: "",
    classes: &[],
    background: "background",
    threshold: 0.0,
    debias: 0.3,
    truth: Truth::Plain,
    layouts: &[],
    names: Names::All,
    tiling: None,
    tiles: None,
    published: None,
    pool: &[],
};

const BUILDINGS: DataSet = DataSet { classes: &["background", "building"], truth: Truth::Threshold(128), ..LAND_COVER };

const ROADS: DataSet =
    DataSet { classes: &["background", "road"], threshold: 0.7, truth: Truth::Threshold(128), ..LAND_COVER };

/// All data sets, in the order of the paper's tables.
pub static DATA_SETS: &[DataSet] = &[
    DataSet {
        name: "openearthmap",
        title: "OpenEarthMap without xBD",
        classes: &[
            "background",
            "bareland,barren",
            "grass",
            "pavement",
            "road",
            "tree,forest",
            "water,river",
            "cropland",
            "building,roof,house",
        ],
        threshold: 0.1,
        layouts: &[Layout { images: "*/images/*.tif", truth: "*/labels/*.tif" }],
        names: Names::File(&["val_wo_xBD.txt", "val.txt"]),
        published: checked(40.3),
        pool: &[
            "background",
            "bareland,barren,bare soil,exposed earth",
            "grass,grassland,green field",
            "pavement,paved area,concrete surface",
            "road,asphalt road,traffic lane",
            "tree,forest,woodland",
            "water,river,lake",
            "cropland,farmland,cultivated field,agriculture land",
            "building,roof,house",
        ],
        ..LAND_COVER
    },
    DataSet {
        name: "loveda",
        title: "LoveDA",
        classes: &["background", "building,roof,house", "road", "water", "barren", "forest", "agricultural"],
        threshold: 0.3,
        truth: Truth::ReducedZero,
        layouts: &[
            Layout { images: "Val/*/images_png/*.png", truth: "Val/*/masks_png/*.png" },
            Layout { images: "Val/Val/*/images_png/*.png", truth: "Val/Val/*/masks_png/*.png" },
        ],
        published: checked(36.9),
        pool: &[
            "background,cluttered ground,miscellaneous land",
            "building,house,building rooftop,urban building",
            "road,asphalt road,paved road,street",
            "water,water body,river,pond",
            "barren,bareland,bare soil,wasteland",
            "forest,tree,dense forest,natural woodland",
            "agricultural,cropland,farmland,cultivated field",
        ],
        ..LAND_COVER
    },
    DataSet {
        name: "isaid",
        title: "iSAID",
        classes: &[
            "background",
            "ship",
            "store tank",
            "baseball diamond",
            "tennis court",
            "basketball court",
            "ground track field",
            "bridge",
            "large vehicle",
            "small vehicle",
            "helicopter",
            "swimming pool",
            "roundabout",
            "soccer ball field",
            "plane",
            "harbor",
        ],
        threshold: 0.4,
        truth: ISAID,
        layouts: &[
            Layout { images: "val/images/*.png", truth: "val/Semantic_masks/images/*_instance_color_RGB.png" },
            Layout {
                images: "val/images/images/*.png",
                truth: "val/Semantic_masks/images/images/*_instance_color_RGB.png",
            },
            Layout { images: "val/images/images/*.png", truth: "val/Semantic_masks/images/*_instance_color_RGB.png" },
        ],
        tiling: Some(Tiling::square(896, 512, true)),
        tiles: Some(11_644),
        published: checked(21.7),
        pool: &[
            "background,Land Cover",
            "ship",
            "storage tank,oil tank,cylindrical container",
            "baseball diamond",
            "tennis court",
            "basketball court",
            "running track,athletic track,track field",
            "bridge",
            "large vehicle",
            "small vehicle",
            "helicopter",
            "swimming pool",
            "roundabout,traffic circle",
            "soccer field,football field",
            "plane,aircraft",
            "harbor",
        ],
        ..LAND_COVER
    },
    DataSet {
        name: "potsdam",
        title: "ISPRS Potsdam",
        classes: &["road,parking lot", "building", "low vegetation", "tree", "car", "clutter,background"],
        background: "clutter",
        threshold: 0.1,
        truth: ISPRS,
        layouts: ISPRS_POTSDAM,
        names: Names::Listed(names::POTSDAM),
        tiling: Some(Tiling::square(512, 512, false)),
        tiles: Some(2_016),
        published: checked(47.1),
        pool: &[
            "road,path,sidewalk",
            "building",
            "grass,grey grassland,lawn",
            "tree",
            "car",
            "clutter,mixed,scattered",
        ],
        ..LAND_COVER
    },
    DataSet {
        name: "vaihingen",
        title: "ISPRS Vaihingen",
        classes: &["impervious surface", "building", "low vegetation", "tree", "car", "clutter"],
        background: "clutter",
        threshold: 0.1,
        truth: ISPRS,
        layouts: ISPRS_VAIHINGEN,
        names: Names::Listed(names::VAIHINGEN),
        tiling: Some(Tiling::square(512, 512, false)),
        tiles: Some(398),
        published: checked(29.1),
        pool: &[
            "road,paved,connected",
            "building,yellow roof",
            "grass,red lawn,yard",
            "tree,forests,red tree",
            "car,small vehicle",
            "clutter,background",
        ],
        ..LAND_COVER
    },
    DataSet {
        name: "uavid",
        title: "UAVid",
        classes: &["background", "building", "road", "car", "tree", "vegetation", "human"],
        threshold: 0.3,
        truth: UAVID,
        layouts: &[
            Layout { images: "test_gt/*/Images/*.png", truth: "test_gt/*/Labels/*.png" },
            Layout { images: "uavid_test/*/Images/*.png", truth: "uavid_test/*/Labels/*.png" },
            Layout { images: "*/Images/*.png", truth: "*/Labels/*.png" },
        ],
        tiling: Some(Tiling {
            tile: Size { width: 1280, height: 1080 },
            step: Size { width: 1280, height: 1080 },
            padded: true,
        }),
        published: checked(42.5),
        pool: &[
            "background,other,cluttered ground",
            "building,house,roof,building rooftop",
            "road,street,asphalt road,paved road",
            "car,vehicle,automobile",
            "tree,forest tree,tree canopy,tall tree",
            "vegetation,grass,greenery,low vegetation",
            "human,person,pedestrian",
        ],
        ..LAND_COVER
    },
    DataSet {
        name: "udd5",
        title: "UDD5",
        classes: &["vegetation", "building", "road", "vehicle", "background"],
        threshold: 0.4,
        layouts: &[Layout { images: "val/src/*.JPG", truth: "val/gt/*.png" }],
        published: checked(50.6),
        pool: &["vegetation,lotus leaves", "building,house", "road", "vehicle", "background,sky,sports field"],
        ..LAND_COVER
    },
    DataSet {
        name: "vdd",
        title: "VDD",
        classes: &["background", "facade", "road", "vegetation", "vehicle", "roof", "water"],
        threshold: 0.3,
        layouts: &[Layout { images: "test/src/*.JPG", truth: "test/gt/*.png" }],
        published: checked(45.3),
        pool: &[
            "background,other",
            "facade,wall,Exterior walls",
            "road",
            "vegetation,tree",
            "vehicle,car",
            "roof,rooftop,Rooftops",
            "water",
        ],
        ..LAND_COVER
    },
    DataSet {
        name: "whu_aerial",
        title: "WHU buildings, aerial",
        threshold: 0.6,
        layouts: &[
            Layout { images: "val/image/*.tif", truth: "val/label/*.tif" },
            Layout { images: "val/image/*.png", truth: "val/label/*.png" },
        ],
        published: unchecked(49.2),
        pool: &["background,forest,vegetation,bareland,river,road,vehicle", "building"],
        ..BUILDINGS
    },
    DataSet {
        name: "whu_sat_ii",
        title: "WHU buildings, satellite II",
        threshold: 0.7,
        layouts: &[
            Layout { images: "1.cropped/test/image/*.tif", truth: "1.cropped/test/label/*.tif" },
            Layout { images: "*/1.cropped/test/image/*.tif", truth: "*/1.cropped/test/label/*.tif" },
            Layout { images: "test/image/*.tif", truth: "test/label/*.tif" },
        ],
        published: unchecked(28.4),
        pool: &["background,forest,vegetation,bareland,river,route,vehicle", "building"],
        ..BUILDINGS
    },
    DataSet {
        name: "inria",
        title: "Inria",
        threshold: 0.6,
        layouts: &[
            Layout { images: "train/images/*.tif", truth: "train/gt/*.tif" },
            Layout { images: "AerialImageDataset/train/images/*.tif", truth: "AerialImageDataset/train/gt/*.tif" },
            Layout { images: "images/*.tif", truth: "gt/*.tif" },
        ],
        names: Names::Listed(names::INRIA),
        tiling: Some(Tiling::square(1000, 1000, false)),
        tiles: Some(675),
        published: unchecked(44.6),
        pool: &["background,tree,vegetation,bareland,river,paved road,vehicle", "building"],
        ..BUILDINGS
    },
    DataSet {
        name: "xbd",
        title: "xBD before the disaster",
        debias: 0.0,
        truth: Truth::Threshold(1),
        layouts: &[Layout {
            images: "test/images/*_pre_disaster.png",
            truth: "test/targets/*_pre_disaster_target.png",
        }],
        published: unchecked(37.0),
        pool: &["background,forest,vegetation,bareland,river,paved road", "building"],
        ..BUILDINGS
    },
    DataSet {
        name: "chn6-cug",
        title: "CHN6-CUG roads",
        threshold: 0.8,
        layouts: &[Layout { images: "val/images/*_sat.jpg", truth: "val/gt/*_mask.png" }],
        published: unchecked(35.4),
        pool: &[
            "background,forest,vegetation,barren,water,building,vehicle,basketball court,agriculture,urban,rangeland,cropland",
            "road",
        ],
        ..ROADS
    },
    DataSet {
        name: "deepglobe_road",
        title: "DeepGlobe roads (Global Road Set)",
        layouts: &[
            road("DeepGlobe*/img/*_sat.jpg", "DeepGlobe*/gt/*_mask.png"),
            road("img/*_sat.jpg", "gt/*_mask.png"),
        ],
        tiles: Some(1_530),
        published: unchecked(17.8),
        pool: &[
            "background,forest,vegetation,barren,water,building,vehicle,agriculture,urban,rangeland,cropland",
            "road",
        ],
        ..ROADS
    },
    DataSet {
        name: "massachusetts_road",
        title: "Massachusetts roads (Global Road Set)",
        layouts: &[road("Massachusetts*/img/*.jpg", "Massachusetts*/gt/*.png"), road("img/*.jpg", "gt/*.png")],
        tiles: Some(49),
        published: unchecked(11.5),
        pool: &["background,forest,vegetation,barren,water,building,vehicle,urban,rangeland,cropland", "road"],
        ..ROADS
    },
    DataSet {
        name: "spacenet_road",
        title: "SpaceNet roads (Global Road Set)",
        layouts: &[road("SpaceNet*/img/*.jpg", "SpaceNet*/gt/*.png"), road("img/*.jpg", "gt/*.png")],
        tiles: Some(567),
        published: unchecked(23.8),
        pool: &[
            "background,forest,vegetation,barren,water,building,vehicle,agriculture,urban,rangeland,cropland",
            "road",
        ],
        ..ROADS
    },
    DataSet {
        name: "wbs-si",
        title: "Water bodies in satellite images",
        classes: &["background", "water"],
        threshold: 0.6,
        truth: Truth::Threshold(128),
        layouts: &[
            Layout { images: "Water Bodies Dataset/Images/*.jpg", truth: "Water Bodies Dataset/Masks/*.jpg" },
            Layout { images: "Images/*.jpg", truth: "Masks/*.jpg" },
        ],
        names: Names::Numbered { prefix: "water_body_", numbers: names::WATER_BODIES },
        tiles: Some(499),
        published: unchecked(60.2),
        pool: &["background,forest,vegetation,barren,agriculture,urban", "water"],
        ..LAND_COVER
    },
    DataSet {
        name: "deepglobe",
        title: "DeepGlobe land cover (words of the authors; no published figure)",
        classes: &["urban", "agriculture", "rangeland", "forest", "water", "barren", "background"],
        truth: DEEPGLOBE,
        layouts: &[
            Layout { images: "train/*_sat.jpg", truth: "train/*_mask.png" },
            Layout { images: "land-train/*_sat.jpg", truth: "land-train/*_mask.png" },
            Layout { images: "*_sat.jpg", truth: "*_mask.png" },
        ],
        ..LAND_COVER
    },
];
