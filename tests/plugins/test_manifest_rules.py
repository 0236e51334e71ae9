"""The plugin hands a manifest to the rules of the manifest format."""

from hypersdkd_plugins import manifest_rules

from hypersdkd.model.manifest import read_manifest


def test_the_rules_are_those_of_the_format() -> None:
    for text, syntax in ((b"{}", "json"), (b"version: '1.0'", "yaml"), (b"{", "")):
        assert manifest_rules.hypersdkd_validate_manifest(text=text, syntax=syntax) == read_manifest(text, syntax)


def test_a_json_text_that_is_said_to_be_yaml_is_read_as_such() -> None:
    assert manifest_rules.hypersdkd_validate_manifest(text=b"{version: '1.0'}", syntax="yaml").parsed
    assert not manifest_rules.hypersdkd_validate_manifest(text=b"{version: '1.0'}", syntax="json").parsed
