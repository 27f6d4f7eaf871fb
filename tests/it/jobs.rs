//! Jobs as people write them: many scenes of one name, folders, archives, searches, and the spelling of everyday YAML.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use gdal::{Dataset, DriverManager};

use crate::archives::zip;
use crate::scenes::{noise, noise_scene, place, write_bands};
use crate::workdir::{Workdir, repository};

const JOB: &str = "model: fake:null\nclasses: [a, b]\noutputs: {folder: out}\n";

/// A small placed scene, in a folder that is made.
fn scene(work: &Workdir, name: &str) {
    let path = work.path(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    noise_scene(&path, 40, 30);
}

/// The files of a folder, sorted.
fn listed(work: &Workdir, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(work.path(folder)).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".tif") && !name.starts_with('.'));
    names.sort();
    names
}

#[test]
fn scenes_of_one_file_name_have_results_of_their_own() {
    let work = Workdir::new();
    scene(&work, "A/t.tif");
    scene(&work, "B/t.tif");
    work.write("job.yaml", format!("{JOB}scene: [A/t.tif, B/t.tif]\n"));
    let ran = work.ok(["run", "job.yaml"]);
    assert_eq!(listed(&work, "out"), ["A_t_labels.tif", "B_t_labels.tif"]);
    assert!(ran.stderr.contains("{scene} becomes `A_t`, `B_t`"), "{}", ran.stderr);
    // In another order and with a scene more they are the same results, and finished.
    scene(&work, "C/u.tif");
    let ran = work.ok("run job.yaml --input B/t.tif C/u.tif A/t.tif".split_whitespace());
    assert_eq!(listed(&work, "out"), ["A_t_labels.tif", "B_t_labels.tif", "u_labels.tif"]);
    assert_eq!(ran.stderr.matches("is finished, by an earlier run").count(), 2, "{}", ran.stderr);
    work.ok(["run", "job.yaml", "--output", "named", "--set", "outputs.labels={folder}-{scene}.tif"]);
    assert_eq!(listed(&work, "named"), ["A-t.tif", "B-t.tif"]);
    let said = work.refused("run job.yaml --input A/t.tif A/../A/t.tif");
    assert!(said.contains("A/t.tif and A/../A/t.tif are the same scene"), "{said}");
}

#[test]
fn folders_and_patterns_stand_for_scenes_and_never_for_results() {
    let work = Workdir::new();
    for name in ["s [1]/a b.tif", "s [1]/c.tif"] {
        scene(&work, name);
    }
    work.write("s [1]/notes.txt", "no raster");
    work.write("s [1]/._c.tif", "of another system");
    work.write("job.yaml", format!("{JOB}scene: s [1]\n").replace("folder: out", "folder: 's [1]', preview: true"));
    work.ok(["run", "job.yaml"]);
    let both = ["a b.tif", "a b_labels.tif", "c.tif", "c_labels.tif"];
    assert_eq!(listed(&work, "s [1]"), both);
    // The second run finds its own results beside the scenes.
    for input in ["s [1]", "s [1]/*.[pt][in]*", "s [1]/*.tif"] {
        let ran = work.ok(["run", "job.yaml", "--input", input]);
        assert!(ran.stderr.contains("rasters are results of segearth and left out"), "{input}: {}", ran.stderr);
        assert_eq!(listed(&work, "s [1]"), both, "{input}");
    }
    let ran = work.ok(["check", "job.yaml", "--input", "s [1]/{a b,c}.tif"]);
    assert!(ran.stdout.contains("s [1]/a b.tif") && ran.stdout.contains("s [1]/c.tif"), "{}", ran.stdout);
    let said = work.refused_args(["run", "job.yaml", "--input", "s [1]/*_labels.tif"]);
    assert!(said.contains("2 rasters are results of segearth") && said.contains("no scene is left"), "{said}");
    // By its own name a result is taken as what it is.
    let said = work.refused_args(["check", "job.yaml", "--input", "s [1]/c_labels.tif", "--set", "bands=[1,1,1]"]);
    assert!(said.contains("has a colour palette"), "{said}");
}

#[test]
fn everyday_yaml_means_what_it_says() {
    let work = Workdir::new();
    scene(&work, "home/data/s.tif");
    let home = work.path("home").display().to_string();
    let check = |job: &str| {
        work.write("job.yaml", job);
        work.run_with(["check", "job.yaml"], &[("HOME", &home)])
    };
    // From an editor on Windows, with classes that YAML 1.1 took for booleans.
    let job = "\u{feff}model: fake:null\r\nscene: ~/data/s.tif\r\nclasses:\r\n  - no\r\n  - yes,on\r\n  - 50% grey\r\n\
               mosaic: no\r\noutputs:\r\n  folder: ~/out\r\n  scores: yes\r\n  polygons: off\r\n";
    let ran = check(job);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for part in ["  no  ", "yes, on", "50% grey", &format!("{home}/out/s_labels.tif"), "s_scores.tif"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("polygons"), "{}", ran.stdout);
    for (line, part) in [
        ("scene: $DATA/s.tif", "--input \"$DATA/s.tif\""),
        ("scene: a.tif, b.tif", "Write several scenes as a list"),
        ("scene: home\\data\\s.tif", "Separate folders with `/`"),
        ("scene: home/data/s.tif\noutputs: {folder: '$HOME/out'}", "`$HOME` is an environment variable"),
        ("scene: home/data/s.tif\nmethod: {debias: '0,3'}", "Write a decimal point"),
        ("scene: home/data/s.tif\nbands: 4,3,2", "Write a list"),
        ("scene: home/data/s.tif\nbackground: 5", "Put it into quotes"),
        ("scene: home/none", "there is no file home/none"),
        ("scene: home", "there is no raster in the folder home"),
    ] {
        let ran = check(&format!("model: fake:null\nclasses: [a, b]\n{line}\n"));
        assert!(ran.code == 1 && ran.stderr.contains(part), "{line}: {}", ran.stderr);
    }
}

#[test]
fn a_file_with_one_raster_inside_is_that_raster_and_one_with_several_names_them() {
    let work = Workdir::new();
    scene(&work, "a.tif");
    let tiff = fs::read(work.path("a.tif")).expect("a raster");
    let entry = |name: &str| (name.to_owned(), tiff.clone());
    let text = ("read me.txt".to_owned(), b"words".to_vec());
    work.write("one.zip", zip(&[text.clone(), entry("in/x.tif"), ("__MACOSX/in/._x.tif".into(), b"0".to_vec())]));
    let segment = |scene: &str, more: &str| {
        work.run(format!("segment {scene} --model fake:null -c a;b -o l.tif --overwrite {more}").split_whitespace())
    };
    let ran = segment("one.zip", "");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("one.zip contains one raster, in/x.tif, which is used as the scene"), "{}", ran.stderr);
    assert!(ran.stdout.contains("40 × 30 pixels"), "{}", ran.stdout);

    let many: Vec<_> = (0..25).map(|number| entry(&format!("in/t{number:02}.tif"))).chain([text]).collect();
    work.write("many.zip", zip(&many));
    let said = work.refused("segment many.zip --model fake:null -c a;b -o l2.tif");
    assert!(said.contains("many.zip contains 25 rasters; choose one of them as the scene"), "{said}");
    assert!(said.contains("  many.zip/in/t00.tif  40 × 30, 3 bands of Byte\n"), "{said}");
    assert!(
        said.contains("many.zip/in/t19.tif") && !said.contains("t20.tif") && said.contains("… and 5 more"),
        "{said}"
    );
    let ran = segment("many.zip/in/t19.tif", "");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let tar = Command::new("tar").args(["-cf", "one.tar", "a.tif"]).current_dir(work.path("")).status().expect("tar");
    assert!(tar.success() && segment("one.tar", "").code == 0);
    // From a job elsewhere the names are those that can be typed there.
    work.write("jobs/job.yaml", format!("{JOB}scene: ../many.zip\n"));
    let said = work.refused("run jobs/job.yaml");
    assert!(said.contains("  [WORK]/many.zip/in/t00.tif  "), "{said}");

    let netcdf = |name: &str, bands: usize| {
        let path = work.path("source.tif");
        write_bands(&path, (40, 30), &vec![noise(1200); bands], place);
        let source = Dataset::open(&path).expect("a raster");
        let driver = DriverManager::get_driver_by_name("netCDF").expect("the netCDF driver");
        source
            .create_copy(&driver, work.path(name), &Default::default())
            .expect("a netCDF file")
            .close()
            .expect("a file");
    };
    netcdf("one.nc", 1);
    netcdf("two.nc", 2);
    let ran = segment("one.nc", "--bands 1,1,1");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let said = work.refused("segment two.nc --model fake:null -c a;b -o l2.tif --bands 1,1,1");
    assert!(said.contains("two.nc contains 2 rasters"), "{said}");
    let name = "NETCDF:\"two.nc\":Band2";
    assert!(said.contains(&format!("  {name}  [30x40] Band2 (8-bit integer)\n")), "{said}");
    let ran = segment(name, "--bands 1,1,1");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // A relative name starts from the job's folder.
    work.write("job.yaml", format!("{JOB}scene: two.nc\nbands: [1, 1, 1]\n"));
    fs::create_dir(work.path("sub")).expect("a folder");
    fs::copy(work.path("two.nc"), work.path("sub/other.nc")).expect("a copy");
    work.write("sub/job.yaml", format!("{JOB}scene: 'NETCDF:\"other.nc\":Band1'\nbands: [1, 1, 1]\n"));
    work.ok(["run", "sub/job.yaml"]);
    assert_eq!(listed(&work, "out"), ["other_Band1_labels.tif"]);
}

/// Documents by path and query, from a server like those of STAC APIs: it answers GET alone, with whole documents and no ranges.
struct Catalog {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Catalog {
    /// `BASE` in a document stands for the server's address.
    fn start(documents: &[(&str, String)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let documents: Vec<(String, String)> =
            documents.iter().map(|(path, text)| ((*path).to_owned(), text.replace("BASE", &base))).collect();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that went away is no concern of the server's.
                let _ = answer(stream, &documents, &log);
            }
        });
        Self { base, requests }
    }
}

fn answer(mut stream: TcpStream, documents: &[(String, String)], log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while reader.read_line(&mut request)? > 2 {}
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    log.lock().expect("the log").push(format!("{method} {path}"));
    if method != "GET" {
        return write!(stream, "HTTP/1.1 405 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    match documents.iter().find(|(name, _)| *name == path) {
        Some((_, text)) => write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: application/geo+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        ),
        None => write!(stream, "HTTP/1.1 404 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
    }
}

/// An item whose file lies on this machine, with as many bytes beside it as items have.
fn item(work: &Workdir, id: &str) -> String {
    let path = work.path("s.tif").display().to_string();
    let more = "x".repeat(3000);
    format!(
        r#"{{"type":"Feature","id":"{id}","properties":{{"more":"{more}"}},"assets":{{"visual":{{"href":"file://{path}"}}}}}}"#
    )
}

fn page(items: &[String], links: &str) -> String {
    format!(r#"{{"type":"FeatureCollection","features":[{}],"links":[{links}]}}"#, items.join(","))
}

#[test]
fn searches_are_followed_page_by_page() {
    let work = Workdir::new();
    scene(&work, "s.tif");
    let items: Vec<String> = (0..6).map(|number| item(&work, &format!("i{number}"))).collect();
    let next = |href: &str| format!(r#"{{"rel":"self","href":"x"}},{{"rel":"next","href":"{href}"}}"#);
    let server = Catalog::start(&[
        ("/c/items?limit=2&token=s3cret", page(&items[..2], &next("BASE/c/items?page=2&token=s3cret"))),
        // Relative, and an item of the page before once more.
        ("/c/items?page=2&token=s3cret", page(&items[1..4], &next("?page=3&token=s3cret"))),
        ("/c/items?page=3&token=s3cret", page(&items[4..], "")),
        ("/loop/items", page(&items[..1], &next("/loop/items?p=2"))),
        ("/loop/items?p=2", page(&items[1..2], &next("items"))),
        ("/gone/items?key=s3cret", page(&items[..1], &next("nothing?key=s3cret"))),
        ("/post/items", page(&items[..1], r#"{"rel":"next","href":"BASE/post","method":"POST","body":{"page":2}}"#)),
        ("/none/items", page(&[], "")),
        ("/huge/items", page(&items[..1], &next("?p=2")).replacen('{', r#"{"numberMatched":2000000,"#, 1)),
        ("/file/items", page(&items[..1], &next("file:///etc/passwd"))),
        ("/", r#"{"type":"Catalog","conformsTo":["x"],"links":[]}"#.to_owned()),
    ]);
    let check = |address: &str| work.run(["check", "job.yaml", "--input", address]);
    work.write("job.yaml", format!("{JOB}scene: none.tif\n"));
    let ran = check(&format!("{}/c/items?limit=2&token=s3cret", server.base));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for number in 0..6 {
        assert_eq!(ran.stdout.matches(&format!("out/i{number}_labels.tif")).count(), 1, "{}", ran.stdout);
    }
    assert!(ran.stderr.contains("has 6 items, from 3 pages"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("s3cret") && !ran.stdout.contains("s3cret"), "{}", ran.stderr);
    let asked = server.requests.lock().expect("the log").clone();
    assert!(asked.contains(&"GET /c/items?page=3&token=s3cret".to_owned()), "{asked:?}");
    // A page that was saved leads on to the others.
    work.write("search.json", page(&items[..1], &next(&format!("{}/c/items?page=3&token=s3cret", server.base))));
    let ran = check("search.json");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("i0_labels.tif") && ran.stdout.contains("i5_labels.tif"), "{}", ran.stdout);
    for (address, parts) in [
        ("/loop/items", ["page 3 of", "links back to the first page"]),
        ("/gone/items?key=s3cret", ["cannot read page 2 of", "404"]),
        ("/post/items", ["page 2 of", "needs a POST request"]),
        ("/none/items", ["has no items", "another area or time"]),
        ("/huge/items", ["has 2000000 items; at most 10000 are allowed", "Narrow it"]),
        ("/file/items", ["points to a local file", "file:///etc/passwd"]),
    ] {
        let ran = check(&format!("{}{address}", server.base));
        assert!(ran.code == 1 && parts.iter().all(|part| ran.stderr.contains(part)), "{address}: {}", ran.stderr);
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
    }
}

#[test]
fn collections_and_catalogs_lead_to_their_items() {
    let work = Workdir::new();
    scene(&work, "s.tif");
    let collection =
        |links: &str| format!(r#"{{"type":"Collection","stac_version":"1.0.0","id":"c","links":[{links}]}}"#);
    let server = Catalog::start(&[
        ("/collections/c", collection(r#"{"rel":"items","href":"c/items","type":"application/geo+json"}"#)),
        ("/collections/c/items", page(&[item(&work, "r0"), item(&work, "r1")], "")),
    ]);
    work.write("job.yaml", format!("{JOB}scene: cat/catalog.json\n"));
    let link = |relation: &str, href: &str| format!(r#"{{"rel":"{relation}","href":"{href}"}}"#);
    let children =
        [link("root", "catalog.json"), link("child", "one/collection.json"), link("child", "two/catalog.json")];
    work.write("cat/catalog.json", collection(&children.join(",")).replace("Collection", "Catalog"));
    let items = [link("parent", "../catalog.json"), link("item", "./b/b.json"), link("item", "a.json")];
    work.write("cat/one/collection.json", collection(&items.join(",")));
    work.write("cat/one/b/b.json", item(&work, "b"));
    work.write("cat/one/a.json", item(&work, "a"));
    // Back to where it came from, and to the same items.
    let round = [link("child", "../catalog.json"), link("item", "../one/a.json")];
    work.write("cat/two/catalog.json", collection(&round.join(",")).replace("Collection", "Catalog"));
    let scenes = |ran: &crate::workdir::Ran| -> Vec<String> {
        let lines = ran.stdout.lines().filter_map(|line| line.trim().strip_prefix("labels "));
        lines.map(|line| line.trim().to_owned()).collect()
    };
    let ran = work.ok(["check", "job.yaml"]);
    assert_eq!(scenes(&ran), ["out/b_labels.tif", "out/a_labels.tif"], "{}", ran.stdout);
    let ran = work.ok(["check", "job.yaml", "--input", &format!("{}/collections/c", server.base)]);
    assert_eq!(scenes(&ran), ["out/r0_labels.tif", "out/r1_labels.tif"], "{}", ran.stdout);

    work.write("cat/one/a.json", "not JSON");
    let ran = work.run(["check", "job.yaml"]);
    assert!(
        ran.code == 1 && ran.stderr.contains("item 2 of cat/catalog.json, cat/one/a.json, is not a STAC document"),
        "{}",
        ran.stderr
    );
}

/// All that `--help` shows runs as it is printed, but for models that are not here and a GPU.
#[test]
fn the_examples_of_the_help_work() {
    let work = Workdir::new();
    for name in ["a.tif", "b.tif", "sample_data/itaipu.tif", "sample_data/village.tif"] {
        scene(&work, name);
    }
    write_bands(
        &work.path("scene.tif"),
        (40, 30),
        &[3, 5, 7, 11].map(|count| noise(1200 * count).split_off(1200 * (count - 1))),
        place,
    );
    for entry in fs::read_dir(repository("pipelines")).expect("the shipped jobs") {
        let path = entry.expect("a job").path();
        let job = fs::read_to_string(&path).expect("a job");
        let job = job.replace("openai/ViT-B-16", "fake:null").replace("model: mini", "model: fake:null");
        work.write(&format!("pipelines/{}", path.file_name().expect("a name").to_string_lossy()), job);
    }
    work.write("city.yaml", "model: fake:null\nscene: scene.tif\nclasses: [a, b]\n");
    work.write("classes.txt", "building,roof\nroad\nwater\n");
    work.write("classes.yaml", "classes: {background: 0, building: 1}\n");
    let maps = [
        ("before", "land;water;x"),
        ("after", "land;water;x"),
        ("labels", "building;road;water"),
        ("truth", "building;road;water"),
        ("2012_labels", "building;road;water"),
        ("2017_labels", "building;road;water"),
        // What the shipped job for buildings is held against.
        ("truth/a_labels", "background;building"),
        ("truth/b_labels", "background;building"),
    ];
    for (name, classes) in maps {
        fs::create_dir_all(work.path(name).parent().expect("a folder")).expect("a folder");
        let fake = if name.contains('/') { "null" } else { "identity" };
        let words = format!("segment a.tif --model fake:{fake} -c {classes} -o {name}.tif");
        work.ok(words.split_whitespace());
    }
    work.ok("segment a.tif --model fake:null -c background;building -o a.tif.labels.tif --scores scores/a_scores.tif"
        .split(' '));
    for name in ["rivers.gpkg", "districts.gpkg"] {
        let words = format!("vectorize truth.tif --recipe plain --class building -o {name}");
        work.ok(words.split_whitespace());
    }
    let program = Path::new(env!("CARGO_BIN_EXE_segearth"));
    let path = format!("{}:{}", program.parent().expect("a folder").display(), std::env::var("PATH").expect("a path"));
    let mut count = 0;
    for command in ["", "run", "check", "merge", "segment", "evaluate", "change", "vectorize", "schema"] {
        let help = work.ok(command.split_whitespace().chain(["--help"])).stdout.replace("\\\n", " ");
        for example in help.lines().map(str::trim).filter(|line| line.starts_with("segearth ")) {
            let mut line = example
                .replace("--model models/vit-b-16", "--model fake:null")
                .replace("--device cuda", "--device cpu");
            if line.contains(" segment ") {
                // Several examples write the same labels.
                line += " --overwrite";
            }
            let mut shell = Command::new("sh");
            for (key, value) in work.command([""; 0]).get_envs() {
                match value {
                    Some(value) => shell.env(key, value),
                    None => shell.env_remove(key),
                };
            }
            let ran =
                shell.args(["-c", &line]).env("PATH", &path).current_dir(work.path("")).output().expect("a shell");
            assert!(ran.status.success(), "{example}\n{}", String::from_utf8_lossy(&ran.stderr));
            count += 1;
        }
    }
    assert!(count >= 16, "{count} examples");
}

#[test]
fn prompts_that_the_model_cannot_take_whole_are_said() {
    let work = Workdir::new();
    scene(&work, "scene.tif");
    // One token a word, and one each for start and end.
    let long = "road ".repeat(120);
    let classes = format!("road,{long}; street,{long} trees; woods,forest; trees,FOREST; water");
    let words = ["--classes", &classes, "--templates", "none", "-o", "labels.tif"];
    let ran = work.ok(["segment", "scene.tif"].into_iter().chain(words));
    let said = &ran.stderr;
    let cut = |class: &str| format!(" of class `{class}` has 122 tokens, and the model reads 77: the rest is cut off.");
    assert!(said.contains(&cut("road")) && said.contains(&cut("street").replace("122", "123")), "{said}");
    let same = "which have the same tokens: where both have the best score, the first one is taken";
    assert!(said.contains("Classes `road` and `street` cannot be told apart by their prompts"), "{said}");
    assert!(
        said.contains("Classes `woods` and `trees` cannot be told apart by their prompts `forest` and `FOREST`"),
        "{said}"
    );
    assert_eq!(said.matches(same).count(), 2, "{said}");
    assert!(!said.contains("query vectors"), "{said}");
}
