//! Lists the public API, one item a line, from the JSON of rustdoc whose path is the only argument.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let json = std::env::args().nth(1).ok_or("the path of rustdoc's JSON is missing")?;
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_auto_derived_impls(true)
        .omit_auto_trait_impls(true)
        .omit_blanket_impls(true)
        .build()?;
    for item in api.items() {
        // how pin-project-lite implements `Unpin` is nobody's business
        let line = item.to_string();
        if !line.contains("pin_project_lite::__private") {
            println!("{line}");
        }
    }
    Ok(())
}
