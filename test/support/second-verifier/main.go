// A second verifier of exports, written from docs/evidence.md on Go's own transparency log (golang.org/x/mod/sumdb), and
// sharing nothing with ours. For each folder given it prints "<folder> <intact|tampered|incomplete> <why>". A folder holds
// an export, its `policy`, and perhaps `against.note`, a checkpoint that its auditor kept.
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type leafProof struct {
	Index int64    `json:"index"`
	Path  []string `json:"path"`
}

type manifest struct {
	Format       string            `json:"format"`
	Tenant       string            `json:"tenant"`
	Entries      int               `json:"entries"`
	Filters      map[string]string `json:"filters"`
	Completeness string            `json:"completeness"`
	Payloads     bool              `json:"payloads"`
	Redaction    *struct {
		Rules string `json:"rules"`
	} `json:"redaction"`
	Checkpoint   string            `json:"checkpoint"`
	Head         struct {
		Sequence int64    `json:"sequence"`
		Hash     string   `json:"hash"`
		Index    int64    `json:"index"`
		Path     []string `json:"path"`
	} `json:"head"`
	First       int64      `json:"first"`
	Last        int64      `json:"last"`
	Prev        string     `json:"prev"`
	LastProof   *leafProof `json:"last_proof"`
	Consistency *struct {
		Size int64    `json:"size"`
		Path []string `json:"path"`
	} `json:"consistency"`
	LogKeys []string `json:"log_keys"`
	Count   int64    `json:"count"`
	Files   []string `json:"files"`
}

type row struct {
	Entry   *string         `json:"entry"`
	Hash    string          `json:"hash"`
	Prev    *string         `json:"prev"`
	Proof   *leafProof      `json:"proof"`
	Payload json.RawMessage `json:"payload"`
}

type entry struct {
	Body     map[string]json.RawMessage `json:"body"`
	Kind     string                     `json:"kind"`
	Sequence int64                      `json:"sequence"`
	Source   json.RawMessage            `json:"source"`
	Tenant   string                     `json:"tenant"`
	V        int                        `json:"v"`
}

var errLacking = errors.New("lacking")

func lacking(why string) error { return fmt.Errorf("%w: %s", errLacking, why) }

func main() {
	for _, dir := range os.Args[1:] {
		switch err := verify(dir); {
		case err == nil:
			fmt.Println(dir, "intact", "-")
		case errors.Is(err, errLacking):
			fmt.Println(dir, "incomplete", err)
		default:
			fmt.Println(dir, "tampered", err)
		}
	}
}

func verify(dir string) error {
	pol, err := readPolicy(filepath.Join(dir, "policy"))
	if err != nil {
		fmt.Fprintln(os.Stderr, dir, err)
		os.Exit(3)
	}
	text, err := read(dir, "manifest.json")
	if err != nil {
		return err
	}
	var m manifest
	if err := strict(text, &m); err != nil {
		return err
	}
	tree, err := pol.open(m.Checkpoint)
	if err != nil {
		return err
	}
	if len(m.LogKeys) == 0 || m.LogKeys[len(m.LogKeys)-1] != tree.logKey {
		return errors.New("key history")
	}
	if !tree.witnessed {
		return lacking("not witnessed")
	}
	if kept, err := os.ReadFile(filepath.Join(dir, "against.note")); err == nil {
		if err := continues(pol, &m, tree, string(kept)); err != nil {
			return err
		}
	}
	if err := shape(&m); err != nil {
		return err
	}
	head := leaf("head", m.Tenant, m.Head.Sequence, m.Head.Hash)
	if err := tree.holds(head, leafProof{m.Head.Index, m.Head.Path}); err != nil {
		return fmt.Errorf("head: %w", err)
	}
	return verifyRows(dir, &m, tree)
}

func shape(m *manifest) error {
	_, agent := m.Filters["agent"]
	_, verdict := m.Filters["verdict"]
	selection := agent || verdict
	var fits bool
	switch m.Completeness {
	case "whole":
		fits = len(m.Filters) == 0 && m.First == min(1, m.Head.Sequence) && m.Last == m.Head.Sequence
	case "range", "selection":
		fits = m.First <= m.Last && m.Last <= m.Head.Sequence && (m.Completeness == "selection") == selection
	}
	if m.First <= 1 && m.Prev != "sha256:"+strings.Repeat("0", 64) {
		fits = false
	}
	if m.Redaction != nil && !m.Payloads {
		fits = false
	}
	if !fits || m.Format != "countersign-export/1" || m.Entries != 1 {
		return errors.New("the manifest contradicts itself")
	}
	return nil
}

func verifyRows(dir string, m *manifest, tree *tree) error {
	text, err := read(dir, "rows.ndjson")
	if err != nil {
		return err
	}
	prev, sequence, count := m.Prev, max(m.First, 1)-1, int64(0)
	table := []string{"sequence,time,kind,id,decision_id,agent,person,tool,upstream,verdict,reason,hash"}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r row
		if err := strict(lines.Bytes(), &r); err != nil || r.Entry == nil {
			return fmt.Errorf("line %d is no row", count+1)
		}
		var e entry
		if err := strict([]byte(*r.Entry), &e); err != nil || e.V != 1 || e.Tenant != m.Tenant {
			return fmt.Errorf("line %d is no entry of this tenant", count+1)
		}
		if m.Completeness == "selection" {
			if r.Prev == nil || r.Proof == nil || e.Sequence <= sequence || e.Sequence > m.Last || e.Sequence < m.First {
				return fmt.Errorf("line %d does not belong here", count+1)
			}
			prev = *r.Prev
		} else if e.Sequence != sequence+1 || e.Sequence > m.Last {
			return fmt.Errorf("line %d is row %d", count+1, e.Sequence)
		}
		if next(prev, *r.Entry) != r.Hash {
			return fmt.Errorf("hash of row %d", e.Sequence)
		}
		if m.Completeness == "selection" {
			if err := tree.holds(leaf("entry", m.Tenant, e.Sequence, r.Hash), *r.Proof); err != nil {
				return fmt.Errorf("row %d: %w", e.Sequence, err)
			}
			for name, wanted := range m.Filters {
				if (name == "agent" || name == "verdict") && str(e.Body[name]) != wanted {
					return fmt.Errorf("row %d does not fit", e.Sequence)
				}
			}
		}
		if (r.Payload != nil) != m.Payloads {
			return fmt.Errorf("payload of row %d", e.Sequence)
		}
		if r.Payload != nil && string(r.Payload) != "null" {
			if err := payload(&e, r.Payload, m.Redaction != nil); err != nil {
				return fmt.Errorf("payload of row %d: %w", e.Sequence, err)
			}
		}
		prev, sequence, count = r.Hash, e.Sequence, count+1
		table = append(table, cells(&e, r.Hash))
	}
	if m.Completeness != "selection" && m.Last > 0 {
		if sequence < m.Last {
			return lacking("the rows end before the last")
		}
		if m.Last == m.Head.Sequence {
			if prev != m.Head.Hash {
				return errors.New("the head is another")
			}
		} else if m.LastProof == nil {
			return errors.New("the last row is not proved")
		} else if err := tree.holds(leaf("entry", m.Tenant, m.Last, prev), *m.LastProof); err != nil {
			return fmt.Errorf("last row: %w", err)
		}
	}
	if count != m.Count {
		return errors.New("count")
	}
	for _, name := range m.Files {
		if name != "rows.csv" {
			continue
		}
		csv, err := read(dir, name)
		if err != nil {
			return err
		}
		if strings.TrimSuffix(string(csv), "\n") != strings.Join(table, "\n") {
			return errors.New("the table says something else")
		}
	}
	return nil
}

// next is the hash of an entry behind another.
func next(prev, text string) string {
	before, err := hex.DecodeString(strings.TrimPrefix(prev, "sha256:"))
	if err != nil || len(before) != 32 {
		return ""
	}
	return show(sha256.Sum256(append(before, text...)))
}

func show(sum [32]byte) string { return "sha256:" + hex.EncodeToString(sum[:]) }

func leaf(kind, tenant string, sequence int64, hash string) []byte {
	return fmt.Appendf(nil, "countersign/%s/v1\n%d\n%s\n%s", kind, sequence, strings.TrimPrefix(hash, "sha256:"), tenant)
}

// payload holds the sections against what the leaf commits to, except those that are masked.
func payload(e *entry, raw json.RawMessage, redacted bool) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	var p struct {
		Masked   *[]string                  `json:"masked"`
		Salts    map[string]string          `json:"salts"`
		Sections map[string]json.RawMessage `json:"sections"`
		V        int                        `json:"v"`
	}
	if err := strict([]byte(text), &p); err != nil {
		return err
	}
	if (p.Masked != nil) != redacted {
		return errors.New("masked, or not, other than the manifest says")
	}
	masked := map[string]bool{}
	if redacted {
		for _, name := range *p.Masked {
			if _, there := p.Sections[name]; !there {
				return fmt.Errorf("%s is masked and missing", name)
			}
			masked[name] = true
		}
	}
	if e.Kind == "decision" {
		masked["arguments"] = masked["input"]
		masked["call"] = masked["input"] || masked["evidence"]
	}
	var commitments map[string]string
	if err := json.Unmarshal(e.Body["commitments"], &commitments); err != nil {
		return err
	}
	contents := map[string]string{}
	for name, section := range p.Sections {
		contents[name] = string(section)
	}
	if e.Kind == "decision" {
		derive(e, p.Sections, contents)
	}
	for name := range p.Salts {
		if _, known := commitments[name]; !known {
			return errors.New("more than is committed to")
		}
	}
	for name := range p.Sections {
		if _, known := commitments[name]; !known {
			return errors.New("more than is committed to")
		}
	}
	for name, committed := range commitments {
		if masked[name] {
			if _, salted := p.Salts[name]; salted {
				return fmt.Errorf("%s is masked and has a salt", name)
			}
			continue
		}
		content, known := contents[name]
		if !known || show(sha256.Sum256([]byte(p.Salts[name]+"\n"+name+"\n"+content))) != committed {
			return fmt.Errorf("%s is not what was committed to", name)
		}
	}
	return nil
}

// derive adds what is committed to and follows from the sections: the arguments, and the hash of the call.
func derive(e *entry, sections map[string]json.RawMessage, contents map[string]string) {
	var input struct {
		Call struct {
			Arguments json.RawMessage `json:"arguments"`
		} `json:"call"`
	}
	var evidence struct {
		DefinitionHash string `json:"definition_hash"`
	}
	if json.Unmarshal(sections["input"], &input) != nil || json.Unmarshal(sections["evidence"], &evidence) != nil {
		return
	}
	arguments := string(input.Call.Arguments)
	contents["arguments"] = arguments
	call := fmt.Sprintf(`{"args_hash":%s,"definition_hash":%s,"tenant":%s,"tool":%s,"upstream":%s,"v":1}`,
		quote(show(sha256.Sum256([]byte(arguments)))), quote(evidence.DefinitionHash), quote(e.Tenant),
		e.Body["tool"], e.Body["upstream"])
	contents["call"] = show(sha256.Sum256([]byte(call)))
}

func quote(text string) string { return `"` + text + `"` }

func str(raw json.RawMessage) string {
	var text string
	_ = json.Unmarshal(raw, &text)
	return text
}

func cells(e *entry, hash string) string {
	at, _ := strconv.ParseInt(string(e.Body["at"]), 10, 64)
	of := func(name string) string { return str(e.Body[name]) }
	id, person, reason := of("decision_id"), of("by"), of("status")
	if reason == "" {
		reason = of("state")
	}
	if reason == "" {
		reason = of("action")
	}
	if e.Kind == "decision" {
		id, person, reason = of("id"), of("person"), of("reason")
	}
	all := []string{strconv.FormatInt(e.Sequence, 10), time.UnixMilli(at).UTC().Format("2006-01-02T15:04:05.000Z"),
		e.Kind, of("id"), id, of("agent"), person, of("tool"), of("upstream"), of("verdict"), reason, hash}
	for i, text := range all {
		if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
			text = "'" + text
		}
		if strings.ContainsAny(text, "\",\r\n") {
			text = `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
		}
		all[i] = text
	}
	return strings.Join(all, ",")
}

// tree is an opened checkpoint.
type tree struct {
	origin    string
	size      int64
	root      tlog.Hash
	logKey    string
	witnessed bool
}

func (t *tree) holds(leaf []byte, proof leafProof) error {
	path, err := hashes(proof.Path)
	if err != nil {
		return err
	}
	if proof.Index < 0 || proof.Index >= t.size {
		return errors.New("outside of the tree")
	}
	return tlog.CheckRecord(path, t.size, t.root, proof.Index, tlog.RecordHash(leaf))
}

func hashes(path []string) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(path))
	for i, text := range path {
		hash, err := tlog.ParseHash(text)
		if err != nil {
			return nil, err
		}
		found[i] = hash
	}
	return found, nil
}

func continues(pol *policy, m *manifest, now *tree, kept string) error {
	old, err := pol.open(kept)
	if err != nil || !old.witnessed {
		fmt.Fprintln(os.Stderr, "the kept checkpoint is none", err)
		os.Exit(3)
	}
	switch {
	case old.origin != now.origin:
		return errors.New("another log")
	case now.size < old.size:
		return errors.New("rolled back")
	case now.size == old.size:
		if now.root != old.root {
			return errors.New("forked")
		}
		return nil
	case m.Consistency == nil || m.Consistency.Size != old.size:
		return lacking("no consistency proof")
	}
	path, err := hashes(m.Consistency.Path)
	if err != nil {
		return err
	}
	return tlog.CheckTree(path, now.size, now.root, old.size, old.root)
}

type policy struct {
	logs      map[string]string // verifier key by itself
	witnesses []witness
	quorum    string // a witness, or none
}

type witness struct {
	name, keyName string
	hash          uint32
	key           ed25519.PublicKey
}

func readPolicy(file string) (*policy, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pol := &policy{logs: map[string]string{}}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
		case fields[0] == "log":
			pol.logs[fields[1]] = fields[1]
		case fields[0] == "witness":
			parts := strings.SplitN(fields[2], "+", 3)
			hash, err := strconv.ParseUint(parts[1], 16, 32)
			if err != nil {
				return nil, err
			}
			key, err := base64.StdEncoding.DecodeString(parts[2])
			if err != nil || len(key) != 33 || key[0] != 4 {
				return nil, errors.New("key of a witness")
			}
			pol.witnesses = append(pol.witnesses, witness{fields[1], parts[0], uint32(hash), key[1:]})
		case fields[0] == "quorum":
			pol.quorum = fields[1]
		default:
			return nil, fmt.Errorf("this small verifier knows no %q", fields[0])
		}
	}
	return pol, nil
}

// open checks the signature of the log by Go's own notes, and cosignatures by hand, which they do not know.
func (pol *policy) open(text string) (*tree, error) {
	for vkey := range pol.logs {
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			return nil, err
		}
		opened, err := note.Open([]byte(text), note.VerifierList(verifier))
		if err != nil {
			continue
		}
		lines := strings.Split(opened.Text, "\n")
		size, err := strconv.ParseInt(lines[1], 10, 64)
		if err != nil || lines[0] != verifier.Name() {
			return nil, errors.New("no checkpoint of this log")
		}
		root, err := tlog.ParseHash(lines[2])
		if err != nil {
			return nil, err
		}
		found := &tree{lines[0], size, root, vkey, pol.quorum == "none"}
		for _, signature := range opened.UnverifiedSigs {
			name, err := pol.cosigner(opened.Text, signature)
			if err != nil {
				return nil, err
			}
			found.witnessed = found.witnessed || (name != "" && name == pol.quorum)
		}
		return found, nil
	}
	return nil, errors.New("no log of the policy has signed this")
}

// cosigner is the witness of the policy that made a signature; empty for a stranger's.
func (pol *policy) cosigner(text string, signature note.Signature) (string, error) {
	for _, known := range pol.witnesses {
		if known.keyName != signature.Name || known.hash != signature.Hash {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(signature.Base64)
		if err != nil || len(raw) != 4+8+64 {
			return "", errors.New("form of a cosignature")
		}
		seconds := binary.BigEndian.Uint64(raw[4:12])
		message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", seconds, text)
		if !ed25519.Verify(known.key, []byte(message), raw[12:]) {
			return "", errors.New("a cosignature is broken")
		}
		return known.name, nil
	}
	return "", nil
}

func read(dir, name string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, lacking(name + " is missing")
	}
	return text, err
}

// strict takes one JSON value without members that are not known here.
func strict(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if decoder.More() {
		return errors.New("more than one value")
	}
	return nil
}
