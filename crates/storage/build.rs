//! Tells cargo that the embedded migrations belong to the program: the macro alone does not notice a new folder.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
