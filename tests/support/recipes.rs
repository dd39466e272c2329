//! The recipes of docs/recipes.md, as a reader takes them from the page.

use std::path::Path;

use super::outcome::{Outcome, fail};

/// What a text says of which nobody has seen whether it works.
const UNTRIED: &str = "Not tried";

/// A heading with at least one block of code below it.
#[derive(Debug)]
pub struct Recipe {
    pub title: String,
    /// Whether it says that it was not tried.
    pub is_untried: bool,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    /// The file that its first line names.
    file: Option<String>,
    text: String,
}

/// All of them.
pub fn all() -> Outcome<Vec<Recipe>> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes.md"))?;
    Ok(of(&page))
}

/// The recipes of a page.
pub fn of(page: &str) -> Vec<Recipe> {
    let sections = page.split("\n## ").flat_map(|section| section.split("\n### ").skip(1));
    let recipes = sections.map(|section| {
        let title = section.lines().next().unwrap_or_default().to_owned();
        let blocks = section.split("\n```").skip(1).step_by(2).map(Block::of).collect();
        Recipe { title, is_untried: section.contains(UNTRIED), blocks }
    });
    recipes.filter(|recipe| !recipe.blocks.is_empty()).collect()
}

/// The one with this title.
pub fn recipe(title: &str) -> Outcome<Recipe> {
    match all()?.into_iter().find(|recipe| recipe.title == title) {
        Some(recipe) => Ok(recipe),
        None => fail(format!("docs/recipes.md has no recipe \"{title}\"")),
    }
}

impl Block {
    /// The text between the fences, the first of which has the language.
    fn of(fenced: &str) -> Self {
        let text = fenced.split_once('\n').map_or("", |(_, text)| text);
        let first = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let file = first.filter(|name| !name.contains(' ')).map(str::to_owned);
        Self { file, text: format!("{text}\n") }
    }
}

impl Recipe {
    /// Its files: path and text.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.blocks.iter().filter_map(|block| Some((block.file.as_deref()?, block.text.as_str())))
    }

    /// What it has for a shell, or for a program that takes no file.
    pub fn commands(&self) -> String {
        self.blocks.iter().filter(|block| block.file.is_none()).map(|block| block.text.as_str()).collect()
    }
}
