// The manifest as a document: what the form begins with, and its members by path.

/** What HyperSDK's own dashboard begins with. */
export const INITIAL = {
  version: "1.0",
  batch: false,
  pipeline: {
    load: { source_type: "vmdk", source_path: "" },
    inspect: { enabled: true, detect_os: true },
    fix: {
      fstab: { enabled: true, mode: "stabilize-all" },
      grub: { enabled: true },
      initramfs: { enabled: true, regenerate: true },
      network: { enabled: true, fix_level: "full" },
    },
    convert: { output_format: "qcow2", compress: true },
    validate: { enabled: true, boot_test: false },
  },
};

export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The member at a path like `pipeline.load.source_path`; undefined where there is none. */
export function member(document, path) {
  return path.split(".").reduce((value, key) => (isObject(value) ? value[key] : undefined), document);
}

/** Set a member, making the objects on the way. */
export function setMember(document, path, value) {
  const keys = path.split(".");
  const last = keys.pop();
  let place = document;
  for (const key of keys) {
    if (!isObject(place[key])) place[key] = {};
    place = place[key];
  }
  place[last] = value;
}

export function dropMember(document, path) {
  const cut = path.lastIndexOf(".");
  const place = cut < 0 ? document : member(document, path.slice(0, cut));
  if (isObject(place)) delete place[path.slice(cut + 1)];
}

/** A manifest from JSON: the document, or why the form cannot show it. */
export function readManifest(text) {
  let document;
  try {
    document = JSON.parse(text);
  } catch {
    return { reason: "The JSON cannot be read; the form waits until it is mended." };
  }
  if (!isObject(document)) return { reason: "A manifest is one object; the form waits until it is one." };
  if (document.batch === true) return { reason: "This is a batch. The form shows one guest: edit it as JSON." };
  if ("manifest_version" in document) return { reason: "This is an artifact manifest: edit it as JSON." };
  if (Array.isArray(member(document, "pipeline.load.disks"))) {
    return { reason: "This guest has several disks. The form shows one: edit it as JSON." };
  }
  return { document };
}
