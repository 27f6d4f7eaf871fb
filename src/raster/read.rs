//! Windows of a scene as input of the model: three bands in any order, stretched to 0..=255, gaps filled.

use std::sync::Arc;

use super::band_reader::{BandReader, RawPixels};
use super::byte_resize::ByteResizer;
use super::resample::Resampler;
use super::{Stretch, fill};
use crate::error::{Error, Result};
use crate::geom::{Coverage, Region, Window};
use crate::scene::{Resampling, SceneInfo, StretchPlan, Tile};

/// Reads windows of one scene. One thread at a time may use it; it may move between threads.
pub struct SceneReader {
    source: BandReader,
    stretch: Stretch,
    resampling: Grids,
    /// The area of interest; `None`: all pixels.
    area: Option<Arc<Region>>,
    info: SceneInfo,
}

/// From the scene's own grid to the one it is read on.
enum Grids {
    Same,
    Values(Resampler),
    Bytes(ByteResizer),
}

impl SceneReader {
    /// Opens a scene and computes its stretch, for which it reads the pixels that the method needs.
    ///
    /// `bands` are numbers from 1, in the order red, green, blue; a band may be taken more than once.
    ///
    /// Fails with [`Kind::Input`](crate::error::Kind::Input) for a missing band, complex numbers, a file that changed
    /// since it was inspected, and a scene without valid pixels for a stretch that is computed.
    pub fn open(info: &SceneInfo, bands: [usize; 3], plan: &StretchPlan) -> Result<Self> {
        let source = BandReader::for_stretch(info, bands, plan.joins_bands())?;
        let stretch = Stretch::compute(plan, &source, info)?.ok_or_else(|| {
            Error::input(format!("{} has no valid pixels", info.path.display()))
                .with_hint("Check its nodata value and its mask (`mask: none` treats every pixel as data).")
        })?;
        Ok(Self::new(source, stretch, info))
    }

    /// As [`open`](Self::open), but a scene without valid pixels is opened too; its stretch changes nothing.
    pub fn open_even_empty(info: &SceneInfo, bands: [usize; 3], plan: &StretchPlan) -> Result<Self> {
        let source = BandReader::for_stretch(info, bands, plan.joins_bands())?;
        let stretch = Stretch::compute(plan, &source, info)?.unwrap_or_else(|| Stretch::without_pixels(plan));
        Ok(Self::new(source, stretch, info))
    }

    /// Opens a scene with a known stretch.
    pub fn with_stretch(info: &SceneInfo, bands: [usize; 3], stretch: &Stretch) -> Result<Self> {
        let source = BandReader::for_stretch(info, bands, stretch.joins_bands())?;
        Ok(Self::new(source, stretch.clone(), info))
    }

    fn new(source: BandReader, stretch: Stretch, info: &SceneInfo) -> Self {
        let resampling = match &info.access.native {
            None => Grids::Same,
            Some(native) => match native.resampling {
                Resampling::Values => Grids::Values(Resampler::new(native.size, native.scale)),
                Resampling::Bytes => Grids::Bytes(ByteResizer::new(native.size, info.size)),
            },
        };
        Self { source, stretch, resampling, area: info.access.area.clone(), info: info.clone() }
    }

    /// The stretch with its computed values.
    pub fn stretch(&self) -> &Stretch {
        &self.stretch
    }

    pub(super) fn info(&self) -> &SceneInfo {
        &self.info
    }

    pub(super) fn source(&self) -> &BandReader {
        &self.source
    }

    /// Bytes of decoded blocks under a row of windows of this height, where each window touches all or most of them, as
    /// in a file in strips: with a smaller block cache every window decodes them again. `None` for files in tiles.
    pub fn strip_bytes(&self, window_height: usize) -> Option<usize> {
        let rows = match &self.resampling {
            Grids::Same => window_height,
            Grids::Values(resampler) => resampler.native_rows(window_height),
            Grids::Bytes(resizer) => resizer.native_rows(window_height),
        };
        self.source.strip_bytes(rows)
    }

    /// Reads a window that lies inside the scene.
    ///
    /// Pixels without data are filled from the valid ones around them; in a window without valid pixels they are zero.
    /// Pixels outside the area of interest are invalid, but keep their values; a window outside it is not read.
    pub fn read(&self, window: Window) -> Result<Tile> {
        let wanted = match self.area.as_ref().map_or(Coverage::Everything, |area| area.coverage(window)) {
            Coverage::Nothing => {
                let pixels = window.size().pixels();
                return Ok(Tile { window, rgb: vec![0.0; 3 * pixels], valid: Some(vec![false; pixels]) });
            }
            Coverage::Everything => None,
            Coverage::Part(wanted) => Some(wanted),
        };
        let RawPixels { values: mut rgb, valid } = match &self.resampling {
            Grids::Same => self.source.raw(window)?,
            Grids::Values(resampler) => resampler.read(&self.source, window)?,
            Grids::Bytes(resizer) => resizer.read(&self.source, &self.stretch, window)?,
        };
        if !matches!(self.resampling, Grids::Bytes(_)) {
            for (channel, plane) in rgb.chunks_exact_mut(window.size().pixels()).enumerate() {
                self.stretch.apply(channel, plane);
            }
        }
        if let Some(valid) = &valid {
            fill::fill(&mut rgb, valid, window.size());
        }
        let valid = match (valid, wanted) {
            (Some(mut valid), Some(wanted)) => {
                valid.iter_mut().zip(wanted).for_each(|(valid, wanted)| *valid &= wanted);
                Some(valid)
            }
            (valid, wanted) => valid.or(wanted),
        };
        Ok(Tile { window, rgb, valid })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use gdal::raster::ColorInterpretation;
    use proptest::prelude::*;

    use super::super::find;
    use super::super::test_scenes::{as_it_is, make, plane};
    use super::*;
    use crate::error::Kind;
    use crate::geom::Size;
    use crate::scene::{MaskRequest, MaskSource, NodataValue, SceneRequest};
    use gdal::Dataset;
    use segearth_testing::shared;

    fn reader(path: &str, bands: [usize; 3]) -> SceneReader {
        SceneReader::open(&super::super::inspect(path).unwrap(), bands, &as_it_is()).unwrap()
    }

    /// The valid pixels of a whole scene as 0 and 1, row by row.
    fn validity(path: &str, bands: [usize; 3]) -> String {
        let reader = reader(path, bands);
        let tile = reader.read(reader.source.size.window()).unwrap();
        let all = vec![true; tile.window.size().pixels()];
        tile.valid.unwrap_or(all).into_iter().map(|valid| if valid { '1' } else { '0' }).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn windows_of_any_bands_are_read_as_stored(
            width in 1usize..60, height in 1usize..60, tiled in any::<bool>(), bands in [1usize..=4, 1..=4, 1..=4],
            from in (0.0f64..1.0, 0.0f64..1.0), share in (0.0f64..1.0, 0.0f64..1.0), case in any::<u32>(),
        ) {
            let size = Size::new(width, height);
            let value = |band: usize, col: usize, row: usize| ((band * 71 + col * 13 + row * 29) % 256) as u8;
            let planes: Vec<Vec<u8>> = (1..=4).map(|band| plane(size, |col, row| value(band, col, row))).collect();
            let path = format!("/vsimem/windows_{case}_{width}_{height}.tif");
            let tiles = ["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=32"];
            make(&path, size, &planes, if tiled { &tiles } else { &["BLOCKYSIZE=3"] }, |dataset| {
                for band in 1..=4 {
                    dataset.rasterband(band).unwrap().set_color_interpretation(ColorInterpretation::Undefined).unwrap();
                }
            });
            let (col, row) = ((from.0 * width as f64) as usize, (from.1 * height as f64) as usize);
            let window = Window {
                col, row,
                width: 1 + (share.0 * (width - col - 1) as f64) as usize,
                height: 1 + (share.1 * (height - row - 1) as f64) as usize,
            };
            let tile = reader(&path, bands).read(window).unwrap();
            prop_assert_eq!(&tile.valid, &None);
            let mut expected = Vec::new();
            for band in bands {
                for row in window.rows() {
                    expected.extend(window.cols().map(|col| f32::from(value(band, col, row))));
                }
            }
            prop_assert_eq!(tile.rgb, expected);
            gdal::vsi::unlink_mem_file(&path).unwrap();
        }
    }

    #[test]
    fn ambiguous_nodata_counts_only_in_all_bands() {
        let nodata = |value: f64| {
            move |dataset: &mut Dataset| {
                for band in 1..=3 {
                    dataset.rasterband(band).unwrap().set_no_data_value(Some(value)).unwrap();
                }
            }
        };
        let size = Size::new(4, 1);
        make("/vsimem/dark.tif", size, &[vec![0u8, 0, 9, 9], vec![0, 0, 0, 9], vec![0, 9, 0, 9]], &[], nodata(0.0));
        assert_eq!(validity("/vsimem/dark.tif", [1, 2, 3]), "0111");
        assert_eq!(validity("/vsimem/dark.tif", [1, 2, 2]), "0011");
        assert_eq!(validity("/vsimem/dark.tif", [2, 2, 2]), "0001");
        let minus = -9999i16;
        let planes = [vec![minus, minus, 9, 9], vec![minus, 0, minus, 9], vec![minus, 9, 0, 9]];
        make("/vsimem/minus.tif", size, &planes, &[], nodata(f64::from(minus)));
        assert_eq!(validity("/vsimem/minus.tif", [3, 2, 1]), "0001");
    }

    #[test]
    fn nan_masks_and_alpha_are_respected_and_filled() {
        let size = Size::new(3, 1);
        let nan = f32::NAN;
        let floats = [vec![nan, 1.0f32, 2.0], vec![3.0, f32::INFINITY, 5.0], vec![6.0, 7.0, 8.0]];
        make("/vsimem/nan.tif", size, &floats, &[], |_| {});
        assert_eq!(validity("/vsimem/nan.tif", [1, 2, 3]), "001");
        assert_eq!(validity("/vsimem/nan.tif", [1, 1, 3]), "011");
        let tile = reader("/vsimem/nan.tif", [1, 2, 3]).read(size.window()).unwrap();
        assert_eq!(tile.rgb, [2.0, 2.0, 2.0, 5.0, 5.0, 5.0, 8.0, 8.0, 8.0]);

        let bytes = [vec![1u8, 2, 3], vec![4, 5, 6], vec![7, 8, 9]];
        gdal::config::set_thread_local_config_option("GDAL_TIFF_INTERNAL_MASK", "YES").unwrap();
        make("/vsimem/mask.tif", size, &bytes, &[], |dataset| {
            let mut band = dataset.rasterband(1).unwrap();
            band.create_mask_band(true).unwrap();
            band.open_mask_band()
                .unwrap()
                .write((0, 0), (3, 1), &mut gdal::raster::Buffer::new((3, 1), vec![255u8, 0, 255]))
                .unwrap();
        });
        assert_eq!(validity("/vsimem/mask.tif", [1, 2, 3]), "101");

        for bands in [4, 5] {
            let mut planes = bytes.to_vec();
            planes.resize(bands - 1, vec![0; 3]);
            planes.push(vec![0, 1, 255]);
            make("/vsimem/alpha.tif", size, &planes, &["ALPHA=NO", "PHOTOMETRIC=RGB"], |dataset| {
                let mut band = dataset.rasterband(bands).unwrap();
                band.set_color_interpretation(ColorInterpretation::AlphaBand).unwrap();
            });
            assert_eq!(validity("/vsimem/alpha.tif", [1, 2, 3]), "011", "{bands} bands");
        }
    }

    /// The valid pixels of a scene of one row under what a job says, as 0 and 1.
    fn under(path: &str, source: MaskSource, nodata: Option<(f64, f64)>) -> String {
        let nodata = nodata.map(|(value, tolerance)| NodataValue { value, tolerance });
        let request = SceneRequest { mask: MaskRequest { source, nodata }, ..SceneRequest::file(path) };
        let info = find(&request).unwrap().remove(0);
        let reader = SceneReader::open(&info, [1, 2, 3], &as_it_is()).unwrap();
        let tile = reader.read(info.size.window()).unwrap();
        let all = vec![true; info.size.width];
        tile.valid.unwrap_or(all).into_iter().map(|valid| if valid { '1' } else { '0' }).collect()
    }

    /// Four bands of a row, the last one alpha, with a nodata value and a mask band where they are given.
    fn marked<T: gdal::raster::GdalType + Copy>(
        path: &str,
        planes: &[Vec<T>],
        nodata: Option<f64>,
        mask: Option<&[u8]>,
    ) {
        gdal::config::set_thread_local_config_option("GDAL_TIFF_INTERNAL_MASK", "YES").unwrap();
        let width = planes[0].len();
        make(path, Size::new(width, 1), planes, &["PHOTOMETRIC=RGB", "ALPHA=YES"], |dataset| {
            for number in 1..=planes.len() {
                let mut band = dataset.rasterband(number).unwrap();
                if number == 4 {
                    band.set_color_interpretation(ColorInterpretation::AlphaBand).unwrap();
                }
                if nodata.is_some() {
                    band.set_no_data_value(nodata).unwrap();
                }
            }
            if let Some(mask) = mask {
                let mut band = dataset.rasterband(1).unwrap();
                band.create_mask_band(true).unwrap();
                let mut mask = gdal::raster::Buffer::new((width, 1), mask.to_vec());
                band.open_mask_band().unwrap().write((0, 0), (width, 1), &mut mask).unwrap();
            }
        });
    }

    #[test]
    fn mask_band_precedes_alpha_and_alpha_nodata() {
        use MaskSource::{Alpha, Auto, Band, Nodata};
        let name = "/vsimem/marks.tif";
        // Columns: plain, masked, transparent, the nodata value, a row of 7 for a value of the job's.
        let mut planes = vec![vec![50u8, 50, 50, 255, 7]; 3];
        planes.push(vec![255, 255, 0, 255, 1]);
        marked(name, &planes, Some(255.0), Some(&[255, 0, 255, 255, 255]));
        assert_eq!(under(name, Auto, None), "10111");
        assert_eq!(under(name, Alpha, None), "11011");
        assert_eq!(under(name, Band(4), None), "11011");
        assert_eq!(under(name, Nodata, None), "11101");
        assert_eq!(under(name, MaskSource::None, None), "11111");
        assert_eq!(under(name, Auto, Some((7.0, 0.0))), "10110", "a value of the job's counts beside the mask");
        assert_eq!(under(name, Nodata, Some((7.0, 0.0))), "11110", "and in place of the file's");
        assert_eq!(under(name, Nodata, Some((3.0, 4.0))), "11110");
        assert_eq!(under(name, Nodata, Some((3.0, 3.5))), "11111");
        // A white roof under alpha, whatever the nodata value says.
        marked(name, &planes, Some(255.0), None);
        assert_eq!(under(name, Auto, None), "11011");
        assert_eq!(under(name, Nodata, None), "11101");
    }

    #[test]
    fn external_and_per_band_masks_count() {
        let size = Size::new(4, 1);
        let bytes = [vec![1u8, 2, 3, 4], vec![5, 6, 7, 8], vec![9, 9, 9, 9]];
        let mask = [255u8, 0, 255, 255];
        gdal::config::set_thread_local_config_option("GDAL_TIFF_INTERNAL_MASK", "NO").unwrap();
        make("/vsimem/beside.tif", size, &bytes, &[], |dataset| {
            let mut band = dataset.rasterband(1).unwrap();
            band.create_mask_band(true).unwrap();
            let mut mask = gdal::raster::Buffer::new((4, 1), mask.to_vec());
            band.open_mask_band().unwrap().write((0, 0), (4, 1), &mut mask).unwrap();
        });
        assert!(gdal::vsi::read_dir("/vsimem/", false).unwrap().contains(&PathBuf::from("beside.tif.msk")));
        assert_eq!(under("/vsimem/beside.tif", MaskSource::Auto, None), "1011");
        assert_eq!(under("/vsimem/beside.tif", MaskSource::None, None), "1111");

        // Band 1 has a mask of its own, band 2 a nodata value; band 3 has neither.
        make("/vsimem/own_mask.tif", size, &[mask.to_vec()], &[], |_| {});
        let source = |file: &str, band: usize| {
            format!(
                "<SimpleSource><SourceFilename relativeToVRT=\"0\">/vsimem/{file}</SourceFilename><SourceBand>{band}\
                 </SourceBand></SimpleSource>"
            )
        };
        let own = format!(
            "<MaskBand><VRTRasterBand dataType=\"Byte\">{}</VRTRasterBand></MaskBand>",
            source("own_mask.tif", 1)
        );
        let band = |number: usize, more: &str| {
            let pixels = source("own_pixels.tif", number);
            format!("<VRTRasterBand dataType=\"Int16\" band=\"{number}\">{more}{pixels}</VRTRasterBand>")
        };
        make("/vsimem/own_pixels.tif", size, &[vec![1i16; 4], vec![1, 1, 1, -7], vec![1; 4]], &[], |_| {});
        let bands = [band(1, &own), band(2, "<NoDataValue>-7</NoDataValue>"), band(3, "")].concat();
        let vrt = format!("<VRTDataset rasterXSize=\"4\" rasterYSize=\"1\">{bands}</VRTDataset>");
        gdal::vsi::create_mem_file("/vsimem/own.vrt", vrt.into_bytes()).unwrap();
        assert_eq!(under("/vsimem/own.vrt", MaskSource::Auto, None), "1010");
        assert_eq!(under("/vsimem/own.vrt", MaskSource::Nodata, None), "1110");
        assert_eq!(under("/vsimem/own.vrt", MaskSource::None, None), "1111");
    }

    #[test]
    fn alpha_of_any_type_is_valid_above_zero() {
        let planes = |alpha: [f32; 5]| [vec![9.0; 5], vec![9.0; 5], vec![9.0; 5], alpha.to_vec()];
        let name = "/vsimem/opacity.tif";
        marked(name, &planes([0.0, 0.1, 0.4, 1.0, f32::NAN]), None, None);
        assert_eq!(under(name, MaskSource::Auto, None), "01110");
        let deep = |alpha: [u16; 5]| [vec![9u16; 5], vec![9; 5], vec![9; 5], alpha.to_vec()];
        marked(name, &deep([0, 1, 256, 65_535, 0]), None, None);
        assert_eq!(under(name, MaskSource::Auto, None), "01110");
    }

    #[test]
    fn alpha_band_used_as_colour_is_no_mask() {
        let name = "/vsimem/alpha_seen.tif";
        marked(name, &[vec![1u8; 3], vec![2; 3], vec![3; 3], vec![0, 9, 200]], None, None);
        assert_eq!(validity(name, [4, 1, 2]), "111");
        assert_eq!(validity(name, [3, 1, 2]), "011");
    }

    #[test]
    fn ambiguous_nodata_of_a_job_counts_only_in_all_bands() {
        let name = "/vsimem/jobs_value.tif";
        let bytes = [vec![3u8, 3, 90, 254], vec![3, 90, 90, 254], vec![9, 3, 90, 254]];
        make(name, Size::new(4, 1), &bytes, &[], |_| {});
        assert_eq!(under(name, MaskSource::Auto, Some((0.0, 9.0))), "0111");
        assert_eq!(under(name, MaskSource::Auto, Some((254.0, 0.0))), "1110");
        assert_eq!(under(name, MaskSource::Auto, Some((3.0, 0.0))), "1111");
        let deep = [vec![-9999i16, 5, -9990, 0], vec![5, 5, -9990, 0], vec![5, 5, -9990, 0]];
        make(name, Size::new(4, 1), &deep, &[], |_| {});
        assert_eq!(under(name, MaskSource::Auto, Some((-9999.0, 0.0))), "0111", "no pixel of data is -9999");
        assert_eq!(under(name, MaskSource::Auto, Some((-9999.0, 10.0))), "1101");
        assert_eq!(under(name, MaskSource::Auto, Some((0.0, 0.0))), "1110");
    }

    #[test]
    fn window_without_data_is_empty_and_outside_is_internal() {
        let size = Size::new(8, 8);
        make("/vsimem/empty.tif", size, &[plane(size, |col, _| if col < 4 { f32::NAN } else { 7.0 })], &[], |_| {});
        let reader = reader("/vsimem/empty.tif", [1, 1, 1]);
        let tile = reader.read(Window { col: 0, row: 0, width: 4, height: 8 }).unwrap();
        assert!(tile.is_empty() && tile.rgb.iter().all(|&value| value == 0.0));
        assert!(!reader.read(size.window()).unwrap().is_empty());
        let outside = Window { col: 5, row: 0, width: 4, height: 8 };
        assert_eq!(reader.read(outside).unwrap_err().kind(), Kind::Internal);
    }

    #[test]
    fn missing_and_complex_bands_are_refused() {
        let size = Size::new(2, 2);
        let open = |path: &str, bands| {
            SceneReader::open(&super::super::inspect(path).unwrap(), bands, &as_it_is())
                .err()
                .map(|error| error.to_string())
        };
        make("/vsimem/two.tif", size, &[vec![1u8; 4], vec![2; 4]], &[], |_| {});
        let asked = "/vsimem/two.tif has 2 bands; bands 1, 2 and 3 were requested";
        assert_eq!(open("/vsimem/two.tif", [1, 2, 3]).as_deref(), Some(asked));
        assert!(open("/vsimem/two.tif", [0, 2, 1]).is_some());
        assert!(open("/vsimem/two.tif", [1, 2, 1]).is_none());
        let vrt = "<VRTDataset rasterXSize=\"2\" rasterYSize=\"2\"><VRTRasterBand dataType=\"CFloat32\" band=\"1\"/></VRTDataset>";
        gdal::vsi::create_mem_file("/vsimem/complex.vrt", vrt.as_bytes().to_vec()).unwrap();
        assert_eq!(
            open("/vsimem/complex.vrt", [1, 1, 1]).as_deref(),
            Some("band 1 of /vsimem/complex.vrt holds complex numbers (CFloat32)")
        );
    }

    #[test]
    fn truncated_file_names_the_failed_window() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.tif");
        let size = Size::new(500, 500);
        let noise = plane(size, |col, row| ((col * 7919 + row * 104_729) % 251) as u8);
        make(&path, size, &[noise], &["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64"], |_| {});
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
        let reader = reader(path.to_str().unwrap(), [1, 1, 1]);
        assert!(reader.read(Window { col: 0, row: 0, width: 64, height: 64 }).is_ok());
        let error = reader.read(Window { col: 400, row: 400, width: 100, height: 100 }).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("cut.tif") && message.contains("columns 400 to 500, rows 400 to 500"), "{message}");
        assert_eq!((error.kind(), error.causes().len()), (Kind::Input, 1));
    }

    #[test]
    fn real_scene_is_read() {
        let Some(path) = shared("scenes/koeln.tif") else { return };
        let reader = reader(path.to_str().unwrap(), [1, 2, 3]);
        let tile = reader.read(Window { col: 776, row: 776, width: 224, height: 224 }).unwrap();
        let mean = tile.rgb.iter().sum::<f32>() / tile.rgb.len() as f32;
        assert!((20.0..235.0).contains(&mean), "{mean}");
    }
}
