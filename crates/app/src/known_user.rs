//! What is meant where an operator names a user who is there already.

use lcs_domain::UserId;
use uuid::Uuid;

/// The user that `text` names: `id:UUID` by the id that is shown, `name:TEXT` by the name that signs in, and so does text alone.
///
/// Who was begun by a host, by another system or by an earlier version is there too, whatever his name. A UUID of version 5
/// alone may be either: what a name has become, or somebody's name. To guess would be to show, hold or erase the wrong one.
///
/// # Errors
/// What to write instead, for a person.
pub fn known_user(text: &str) -> Result<UserId, String> {
    if text.trim().is_empty() || text == "name:" {
        return Err("write a user's id".to_owned());
    }
    if let Some(name) = text.strip_prefix("name:") {
        return Ok(UserId::from_text(name));
    }
    if let Some(id) = text.strip_prefix("id:") {
        return id
            .parse()
            .map_err(|error| format!("behind id: {error}; a name like this is written name:{text}"));
    }
    if Uuid::parse_str(text.trim()).is_ok_and(|uuid| uuid.get_version_num() == 5) {
        return Err(format!(
            "this may be an id that was shown, or a name: write id:{} for the user of that id, name:{text} for who \
             signs in so",
            text.trim()
        ));
    }
    Ok(UserId::from_text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_the_name_that_signs_in_and_by_the_id_that_is_shown() {
        let (ada, id_like) = (UserId::from_text("ada"), UserId::from_text("id:ada"));
        for (text, user) in [
            ("ada".to_owned(), ada),
            ("name:ada".to_owned(), ada),
            (format!("id:{ada}"), ada),
            (format!("id:{}", ada.to_string().to_uppercase()), ada),
            (format!("name:{ada}"), UserId::from_text(&ada.to_string())),
            ("name:id:ada".to_owned(), id_like),
            ("ID:ada".to_owned(), UserId::from_text("ID:ada")),
            (" ada".to_owned(), UserId::from_text(" ada")),
        ] {
            assert_eq!(known_user(&text), Ok(user), "{text}");
        }
        let uuid = "018f3a5c-7d1e-7b3a-9c55-0242ac120002";
        for text in [uuid.to_owned(), format!("id:{uuid}")] {
            assert_eq!(known_user(&text).map(|user| user.to_string()), Ok(uuid.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_may_be_either_is_refused_with_both_spellings() {
        let ada = UserId::from_text("ada").to_string();
        for text in
            [ada.clone(), ada.to_uppercase(), ada.replace('-', ""), format!("{{{ada}}}"), format!(" {ada}\n")]
        {
            let refusal = known_user(&text).unwrap_err();
            assert!(refusal.contains(&format!("write id:{} for", text.trim())), "{refusal}");
            assert!(refusal.contains(&format!("name:{text} for")), "{refusal}");
        }
        let refusal = known_user("id:ada").unwrap_err();
        assert!(refusal.ends_with("a name like this is written name:id:ada"), "{refusal}");
        for text in ["", "  ", "name:"] {
            assert_eq!(known_user(text), Err("write a user's id".to_owned()));
        }
    }
}
