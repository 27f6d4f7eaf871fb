//! A job file, `--set` and flags to a [`Spec`]: read, overridden, decoded.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::classes;
use super::decode::decode;
use super::forms;
use super::job_error::JobError;
use super::node::{Data, Entry, KeyStep, Node, parse_path};
use super::paths::{self, is_local};
use super::source_span::{Source, SourceSpan};
use super::spec::Spec;
use super::words::{printable, quoted, without_credentials};
use super::yaml;
use crate::error::{Context as _, Error, Result};
use crate::location::check_exists;

/// A value from a flag, over what the job file says.
#[derive(Clone, Debug)]
pub struct Override {
    /// The flag as the user knows it: `--stride`, or `--set tiling.stride=112`.
    flag: String,
    key: String,
    value: Given,
}

#[derive(Clone, Debug)]
enum Given {
    Yaml(String),
    Text(String),
    List(String),
    Texts(Vec<String>),
    Classes(String),
    /// `--set` without `=`.
    Nothing,
}

impl Override {
    fn new(flag: &str, key: &str, value: Given) -> Self {
        Self { flag: flag.to_owned(), key: key.to_owned(), value }
    }

    /// `--set key.path=value`, the value in YAML.
    pub fn set(written: &str) -> Self {
        let flag = format!("--set {}", printable(written));
        match written.split_once('=') {
            Some((key, value)) => Self::new(&flag, key.trim(), Given::Yaml(value.to_owned())),
            None => Self::new(&flag, "", Given::Nothing),
        }
    }

    /// A flag whose value is a number, or anything else in YAML.
    pub fn yaml(flag: &str, key: &str, value: &str) -> Self {
        Self::new(flag, key, Given::Yaml(value.to_owned()))
    }

    /// A flag whose value is text, whatever it looks like.
    pub fn text(flag: &str, key: &str, value: &str) -> Self {
        Self::new(flag, key, Given::Text(value.to_owned()))
    }

    /// A flag with values between commas: whole numbers, or text.
    pub fn list(flag: &str, key: &str, value: &str) -> Self {
        Self::new(flag, key, Given::List(value.to_owned()))
    }

    /// A flag that was given once for each text, such as paths.
    pub fn texts(flag: &str, key: &str, values: &[String]) -> Self {
        Self::new(flag, key, Given::Texts(values.to_vec()))
    }

    /// `background; building,roof,house; road`, or `@FILE` with a class a line.
    pub fn classes(flag: &str, value: &str) -> Self {
        Self::new(flag, "classes", Given::Classes(value.to_owned()))
    }

    /// The flag with its value.
    fn written(&self) -> String {
        match &self.value {
            // These have it in their name.
            Given::Yaml(_) | Given::Nothing if self.flag.starts_with("--set") => self.flag.clone(),
            Given::Nothing => self.flag.clone(),
            Given::Yaml(text) | Given::Text(text) | Given::List(text) | Given::Classes(text) => {
                format!("{} {text}", self.flag)
            }
            Given::Texts(texts) => format!("{} {}", self.flag, texts.join(" ")),
        }
    }

    fn source(&self, text: &str) -> Arc<Source> {
        Arc::new(Source { label: self.flag.clone(), text: text.to_owned(), has_lines: false, base: PathBuf::new() })
    }

    fn apply(&self, root: &mut Node) -> Result<()> {
        let line = |text: &str| {
            let source = self.source(text);
            SourceSpan { len: source.text.chars().count(), source, line: 1, col: 0 }
        };
        let (value, span) = match &self.value {
            Given::Nothing => {
                let hint = "Write --set KEY.PATH=VALUE, such as --set tiling.stride=56.";
                return Err(Error::input(format!("{} has no value", self.flag)).with_hint(hint));
            }
            // YAML would take the colour `#ff0000` for a comment, and so for nothing; and `{scene}_x.tif` for keys.
            Given::Yaml(text)
                if ["#", "{scene}", "{folder}"].iter().any(|start| text.trim_start().starts_with(start)) =>
            {
                (Node::text(line(text), text.trim()), line(text))
            }
            Given::Yaml(text) => {
                let source = self.source(text);
                (yaml::read(&source)?, line(text))
            }
            Given::Text(text) => (Node::text(line(text), text), line(text)),
            Given::List(text) => {
                let span = line(text);
                let items = classes::split(text, ',').map(|part| {
                    let span = span.part(text, part.offset, part.text.chars().count());
                    match part.text.parse::<u64>() {
                        Ok(number) => Node { span, data: Data::Number(number.into()) },
                        Err(_) => Node::text(span, part.text),
                    }
                });
                (Node { span: span.clone(), data: Data::List(items.collect()) }, span)
            }
            Given::Texts(texts) => {
                let items = texts.iter().map(|text| Node::text(line(text), text)).collect();
                let span = SourceSpan::whole(&self.source(""));
                (Node { span: span.clone(), data: Data::List(items) }, span)
            }
            Given::Classes(text) => {
                let value = match text.trim().strip_prefix('@') {
                    Some(file) if classes::is_learnt(file) => {
                        let value = Node::text(line(text), file);
                        let entry = Entry { key: "learnt".to_owned(), key_span: line(text), value };
                        Node { span: line(text), data: Data::Map(vec![entry]) }
                    }
                    Some(file) => classes::from_lines(&class_file(Path::new(file))?)?,
                    None => classes::from_flag(&self.source(text))?,
                };
                let span = value.span.clone();
                (value, span)
            }
        };
        let key_span = match self.value {
            Given::Yaml(_) if self.flag.starts_with("--set") => SourceSpan::whole(&span.source),
            _ => span,
        };
        let Some(path) = parse_path(&self.key) else {
            let error = JobError::new(key_span, format!("{} is not a valid key path", quoted(&self.key)));
            return Err(error.with_hint("Write keys as `tiling.stride` or `classes[0].colour`.").into());
        };
        forms::lengthen(root, &path);
        root.set(&path, &key_span, value)?;
        Ok(())
    }
}

fn class_file(path: &Path) -> Result<Arc<Source>> {
    let text = read_text(path, "class file")?;
    if text.trim().is_empty() {
        return Err(Error::input(format!("the class file {} is empty", path.display()))
            .with_hint("Write one class per line, with prompts separated by commas."));
    }
    Ok(source(path, text))
}

fn source(path: &Path, text: String) -> Arc<Source> {
    let base = path.parent().map(Path::to_owned).unwrap_or_default();
    Arc::new(Source { label: path.display().to_string(), text, has_lines: true, base })
}

/// Reads UTF-8 text of at most [`yaml::MAX_BYTES`], without its byte order mark.
fn read_text(path: &Path, what: &str) -> Result<String> {
    let cannot = || format!("cannot read the {what} {}", path.display());
    if path.is_dir() {
        return Err(Error::input(format!("{} is a folder, not a {what}", path.display()))
            .with_hint("Give the path of the file."));
    }
    check_exists(path, what)?;
    let file = File::open(path).input(cannot).map_err(|error| error.with_hint("Check the permissions of the file."))?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a full file from one that is too long, whatever its size claims to be.
    file.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).input(cannot)?;
    if bytes.len() > yaml::MAX_BYTES {
        let message = format!(
            "the {what} {} is larger than {} KiB, the largest size that is read",
            path.display(),
            yaml::MAX_BYTES / 1024
        );
        return Err(Error::input(message).with_hint(format!("Check that it is a {what}.")));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let message =
            format!("the {what} {} is not UTF-8 text (byte {})", path.display(), error.utf8_error().valid_up_to());
        Error::input(message).with_hint(format!("Check that it is a {what}, and save it as UTF-8."))
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Reads a job file, with `overrides` over it in their order.
///
/// # Errors
/// What is not YAML, unknown keys, values of a wrong type: with file, line and column, or the flag. What values mean is
/// checked by [`resolve`](super::resolve::resolve).
pub fn load(path: &Path, overrides: &[Override]) -> Result<Spec> {
    parse(path, read_text(path, "job file")?, overrides)
}

/// The same for a text that is already there, as if it stood in the file `path`.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, text: String, overrides: &[Override]) -> Result<Spec> {
    let source = source(path, text);
    let mut root = yaml::read(&source)?;
    if matches!(root.data, Data::Null) {
        root = Node::empty_map(SourceSpan::whole(&source));
    }
    build(root, overrides)
}

/// A job that is given by flags alone.
///
/// # Errors
/// As [`load`].
pub fn from_flags(overrides: &[Override]) -> Result<Spec> {
    build(Node::empty_map(SourceSpan::default()), overrides)
}

fn build(mut root: Node, overrides: &[Override]) -> Result<Spec> {
    for one in overrides {
        one.apply(&mut root)?;
    }
    if let Some(classes) = root.child_mut(&KeyStep::Key("classes".to_owned()))
        && let Data::Map(_) = classes.data
    {
        // Learnt classes alone.
        let item = classes.clone();
        classes.data = Data::List(vec![item]);
    }
    if let Some(error) = colour_in_a_comment(&root) {
        return Err(error.into());
    }
    let mut spec: Spec = decode(&root)?;
    spec.origin = Some(root);
    spec.flags = overrides.iter().map(Override::written).collect();
    Ok(spec)
}

/// A class's colour that is written as `#ff0000` without quotes: YAML takes it for a comment, and the class would have another.
fn colour_in_a_comment(root: &Node) -> Option<JobError> {
    let classes = root.nearest("classes");
    let Data::List(classes) = &classes.data else { return None };
    let entries = classes.iter().flat_map(|class| match &class.data {
        Data::Map(entries) => entries.as_slice(),
        _ => &[],
    });
    entries.filter(|entry| entry.key == "colour" && matches!(entry.value.data, Data::Null)).find_map(|entry| {
        let span = &entry.key_span;
        let line = span.source.text.lines().nth(span.line.checked_sub(1)?)?;
        let (_, comment) = line.split_once('#')?;
        let is_colour = comment.starts_with(|c: char| c.is_ascii_hexdigit());
        is_colour.then(|| {
            let colour = comment.split_whitespace().next().unwrap_or_default();
            JobError::new(
                span.clone(),
                "the colour is missing: YAML reads text after # as a comment, unless it is in quotes",
            )
            .with_hint(format!("Write `colour: '#{}'`.", printable(colour)))
        })
    })
}

impl Spec {
    /// Where the value at a key path was written, or the nearest thing above it.
    pub(super) fn span(&self, path: &str) -> SourceSpan {
        let Some(root) = &self.origin else { return SourceSpan::default() };
        let node = root.nearest(path);
        // What is nowhere in the job has no line to show.
        if std::ptr::eq(node, root) { SourceSpan::whole(&root.span.source) } else { node.span.clone() }
    }

    /// The path of an input named at `key`: relative ones start from the folder of the file that names them.
    pub(super) fn input_path(&self, key: &str, name: &str) -> PathBuf {
        let name = paths::home(name);
        if is_local(&name) { self.span(key).source.base.join(&*name) } else { PathBuf::from(&*name) }
    }

    /// The job as it was given: the text of its file, and below it the flags, each as a comment of a line. For people to
    /// read: of addresses only what names the file, not what opens it (user, password, query).
    pub fn written(&self) -> String {
        let source = self.origin.as_ref().map(|root| &root.span.source).filter(|source| source.has_lines);
        let mut text = source.map(|source| format!("{}\n", source.text.trim_end())).unwrap_or_default();
        for flag in &self.flags {
            text += &format!("# {}\n", flag.replace('\n', " "));
        }
        without_credentials(&text)
    }

    /// The job file's name without its extension; none for a job from flags.
    pub(super) fn job_stem(&self) -> Option<String> {
        let root = self.origin.as_ref()?;
        let source = &root.span.source;
        if !source.has_lines {
            return None;
        }
        Path::new(&source.label).file_stem().map(|stem| stem.to_string_lossy().into_owned())
    }
}
