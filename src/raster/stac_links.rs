//! STAC documents that link to items: collections, catalogs, and paged searches.

#![expect(clippy::indexing_slicing, reason = "JSON gives null for a key that is not there")]

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::json;
use super::stac_item::{self, Choice, Item};
use crate::error::{Context as _, Error, Result};
use crate::location::{is_remote, normalized, resolve_link};

/// Most bytes of a document: a page has some hundred items of some 20 kB.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Most items of one search, collection or catalog; more are likely a mistake.
const MAX_ITEMS: usize = 10_000;
/// Most pages of one search: a server may never stop naming a next one.
const MAX_PAGES: usize = 1_000;
/// Most documents that are read for one scene of a job: items, pages, catalogs.
const MAX_DOCUMENTS: usize = 12_000;
/// Deepest nesting of catalogs.
const MAX_DEPTH: usize = 5;

/// The items of a STAC document.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub items: Vec<Item>,
    /// A note on how many there are.
    pub note: Option<String>,
}

/// Whether a document is a STAC document: an item or a collection of them (not any GeoJSON), a collection, a catalog.
pub(super) fn is_stac(json: &Value) -> bool {
    match json["type"].as_str() {
        Some("Feature") => json["assets"].is_object(),
        Some("FeatureCollection") => {
            let features = features(json);
            let of_api = ["links", "numberMatched", "numberReturned", "context", "stac_version"];
            if features.is_empty() {
                of_api.iter().any(|key| !json[*key].is_null())
            } else {
                features.iter().all(|feature| feature["assets"].is_object())
            }
        }
        Some("Collection" | "Catalog") => json["links"].is_array(),
        _ => json["collections"].is_array() && json["links"].is_array(),
    }
}

fn features(json: &Value) -> &[Value] {
    json["features"].as_array().map_or(&[], Vec::as_slice)
}

/// The items of a document and of all documents that it links to: `next` pages, `item`s, `items`, `child` catalogs.
///
/// # Errors
/// A link that cannot be read or followed, circular pages, no items, or more than [`MAX_ITEMS`].
pub(super) fn follow(root: &Path, json: Value, choice: Choice<'_>) -> Result<Found> {
    let mut walk = Walk {
        root,
        choice,
        items: Vec::new(),
        known: HashSet::new(),
        read: HashMap::from([(document_name(root), "the first page".to_owned())]),
        pages: 0,
        links: Vec::new(),
    };
    let several = json["type"] != "Feature";
    walk.document(json, root, 0)?;
    while let Some(link) = walk.links.pop() {
        walk.link(&link)?;
    }
    if walk.items.is_empty() {
        return Err(Error::input(format!("{} has no items", shown(root)))
            .with_hint("Search another area or time, or name a collection or catalog with items."));
    }
    let (count, pages) = (walk.items.len(), walk.pages);
    let items = if count == 1 { "one item".to_owned() } else { format!("{count} items") };
    let from = if pages > 1 { format!(", from {pages} pages") } else { String::new() };
    let note = several.then(|| format!("{} has {items}{from}.", shown(root)));
    Ok(Found { items: walk.items, note })
}

/// A document to be read.
struct Link {
    name: PathBuf,
    /// Its description in messages: `page 2`.
    what: String,
    depth: usize,
    is_page: bool,
}

struct Walk<'a> {
    root: &'a Path,
    choice: Choice<'a>,
    items: Vec<Item>,
    /// Items so far: pages of a changing catalog overlap.
    known: HashSet<(String, Vec<PathBuf>)>,
    /// Documents that were read, with their descriptions.
    read: HashMap<PathBuf, String>,
    pages: usize,
    /// A stack: the next one is the last.
    links: Vec<Link>,
}

impl Walk<'_> {
    fn link(&mut self, link: &Link) -> Result<()> {
        let Link { name, what, .. } = link;
        let root = shown(self.root);
        if let Some(before) = self.read.get(name) {
            if !link.is_page {
                return Ok(());
            }
            return Err(Error::input(format!("{what} of {root} links back to {before}: {}", shown(name))).with_hint(
                "The server's pages never end: narrow the search, or save the items as one ItemCollection.",
            ));
        }
        if self.read.len() >= MAX_DOCUMENTS {
            return Err(Error::input(format!("{root} links to more than {MAX_DOCUMENTS} documents"))
                .with_hint("Name one of its collections, or an item collection with the wanted items."));
        }
        self.read.insert(name.clone(), what.clone());
        let json = json::read(name, MAX_BYTES)
            .input(|| format!("cannot read {what} of {root}, {}", shown(name)))?
            .filter(is_stac)
            .ok_or_else(|| Error::input(format!("{what} of {root}, {}, is not a STAC document", shown(name))))?;
        self.document(json, name, link.depth)
    }

    fn document(&mut self, json: Value, name: &Path, depth: usize) -> Result<()> {
        match json["type"].as_str() {
            Some("Feature") => self.item(&json, name),
            Some("FeatureCollection") => self.page(&json, name, depth),
            Some("Collection" | "Catalog") => self.catalog(&json, name, depth),
            _ => Err(api(name)),
        }
    }

    fn item(&mut self, feature: &Value, name: &Path) -> Result<()> {
        let item = stac_item::item(feature, name, self.choice)?;
        let files = item.assets.iter().map(|asset| asset.file.clone()).collect();
        if self.known.insert((item.id.clone(), files)) {
            if self.items.len() >= MAX_ITEMS {
                return Err(self.too_many(None));
            }
            self.items.push(item);
        }
        Ok(())
    }

    fn too_many(&self, matched: Option<u64>) -> Error {
        let root = shown(self.root);
        let message = match matched {
            Some(count) => format!("{root} has {count} items; at most {MAX_ITEMS} are allowed"),
            None => format!("{root} has more than {MAX_ITEMS} items, the most that are allowed"),
        };
        Error::input(message).with_hint(
            "Narrow it to an area and a time, such as …/items?bbox=WEST,SOUTH,EAST,NORTH&datetime=FROM/TO, or save the wanted items as one ItemCollection.",
        )
    }

    /// A page of items, and the link to the next one.
    fn page(&mut self, json: &Value, name: &Path, depth: usize) -> Result<()> {
        self.pages += 1;
        let matched = json["numberMatched"].as_u64().or(json["context"]["matched"].as_u64());
        let next = links(json, "next").find(|link| !link["type"].as_str().is_some_and(|kind| kind.contains("html")));
        // A saved page without a link to the next one is complete.
        if let Some(count) = matched.filter(|&count| count > MAX_ITEMS as u64 && next.is_some()) {
            return Err(self.too_many(Some(count)));
        }
        features(json).iter().try_for_each(|feature| self.item(feature, name))?;
        let Some(next) = next else { return Ok(()) };
        let what = format!("page {}", self.pages + 1);
        if self.pages >= MAX_PAGES {
            return Err(Error::input(format!("{} has more than {MAX_PAGES} pages", shown(self.root)))
                .with_hint("Ask for larger pages (limit=…), or for a smaller area and time."));
        }
        let post = next["method"].as_str().is_some_and(|method| method.eq_ignore_ascii_case("post"));
        if post || !next["body"].is_null() {
            return Err(Error::input(format!(
                "{what} of {} needs a POST request; only GET links are followed",
                shown(self.root)
            ))
            .with_hint(
                "Search with an address (…/search?collections=…&bbox=…, or …/collections/ID/items?…), or save all items as \
                 one ItemCollection without `next`.",
            ));
        }
        self.add(next, name, &what, depth, true)
    }

    /// The items and catalogs that a collection or catalog links to.
    fn catalog(&mut self, json: &Value, name: &Path, depth: usize) -> Result<()> {
        if json["conformsTo"].is_array() && json["type"] == "Catalog" {
            return Err(api(name));
        }
        let first = self.links.len();
        let mut has_items = false;
        for (number, link) in (1..).zip(links(json, "item")) {
            has_items = true;
            self.add(link, name, &format!("item {number}"), depth, false)?;
        }
        let is_json = |link: &&Value| link["type"].as_str().is_none_or(|kind| kind.contains("json"));
        if let (false, Some(link)) = (has_items, links(json, "items").find(is_json)) {
            self.add(link, name, "the items", depth, false)?;
        }
        for (number, link) in (1..).zip(links(json, "child")) {
            if depth >= MAX_DEPTH {
                return Err(Error::input(format!("{} has catalogs more than {MAX_DEPTH} deep", shown(self.root)))
                    .with_hint(format!("Name a catalog at a deeper level, such as {}.", shown(name))));
            }
            self.add(link, name, &format!("catalog {number}"), depth + 1, false)?;
        }
        // The first link is taken from the end.
        if let Some(added) = self.links.get_mut(first..) {
            added.reverse();
        }
        Ok(())
    }

    fn add(&mut self, link: &Value, name: &Path, what: &str, depth: usize, is_page: bool) -> Result<()> {
        let Some(href) = link["href"].as_str().filter(|href| !href.trim().is_empty()) else {
            return Err(Error::input(format!("the link to {what} in {} has no address (href)", shown(name))));
        };
        let target = resolve_link(name, href).gdal_name();
        let target = document_name(&target);
        if is_remote(name) && !is_remote(&target) {
            return Err(Error::input(format!("the link to {what} in {} points to a local file, {href}", shown(name)))
                .with_hint(
                    "Documents from a server may only link to addresses; save the document to use it with local files.",
                ));
        }
        if self.links.len() + self.read.len() > MAX_DOCUMENTS {
            return Err(self.too_many(None));
        }
        self.links.push(Link { name: target, what: what.to_owned(), depth, is_page });
        Ok(())
    }
}

/// The links of a relation, in their order.
fn links<'a>(json: &'a Value, relation: &'a str) -> impl Iterator<Item = &'a Value> {
    json["links"].as_array().into_iter().flatten().filter(move |link| link["rel"] == relation)
}

fn api(name: &Path) -> Error {
    let name = shown(name);
    Error::input(format!("{name} is the landing page of a STAC API, not a collection"))
        .with_hint("Name a search or the items of a collection: …/collections/ID/items?bbox=…&datetime=…")
}

/// A document's canonical name, so that circular links are noticed; names with an address stay as they are.
fn document_name(name: &Path) -> PathBuf {
    if name.starts_with("/vsi") || is_remote(name) { name.to_owned() } else { normalized(name) }
}

/// A name without GDAL's prefix, for messages.
fn shown(name: &Path) -> String {
    let name = name.to_string_lossy();
    name.strip_prefix("/vsicurl/").unwrap_or(&name).to_owned()
}
