// The witness and the client of transparency-dev (https://github.com/transparency-dev/witness), unpatched, for tests:
//
//	foreign-witness witness <log vkey>              cosigns checkpoints of that log; prints its vkey and its URL
//	foreign-witness log <url> <witness vkey> <skey> a log of its own, which grows and is cosigned at <url>
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"

	formats "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	client "github.com/transparency-dev/witness/client/http"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "witness":
		serve(os.Args[2])
	case len(os.Args) == 5 && os.Args[1] == "log":
		grow(os.Args[2], os.Args[3], os.Args[4])
	default:
		log.Fatal("usage: foreign-witness witness <log vkey> | log <url> <witness vkey> <skey>")
	}
}

func serve(logVkey string) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "foreign.example/witness")
	check(err)
	vkey, err = formats.VKeyToCosignatureV1(vkey)
	check(err)
	signer, err := formats.NewSignerForCosignatureV1(skey)
	check(err)
	verifier, err := note.NewVerifier(logVkey)
	check(err)
	w, err := witness.New(context.Background(), witness.Opts{
		Persistence: inmemory.New(),
		Signers:     []note.Signer{signer},
		VerifierForLog: func(_ context.Context, origin string) (note.Verifier, bool, error) {
			return verifier, origin == verifier.Name(), nil
		},
	})
	check(err)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", witness.NewHTTPHandler(w).AddCheckpoint)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Printf("%s http://%s\n", vkey, listener.Addr())
	// Ends with the test that started it.
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	check(http.Serve(listener, mux))
}

// Sizes that the log has one after the other.
var sizes = []uint64{1, 2, 3, 8, 9, 100, 257}

func grow(address, witnessVkey, skey string) {
	signer, err := note.NewSigner(skey)
	check(err)
	verifier, err := formats.NewVerifierForCosignatureV1(witnessVkey)
	check(err)
	at, err := url.Parse(address)
	check(err)
	to := client.NewWitness(at, http.DefaultClient)
	var before uint64
	for _, size := range sizes {
		checkpoint := sign(signer, size, root(0, size))
		body, _, err := to.Update(context.Background(), before, checkpoint, consistency(before, size))
		check(err)
		opened, err := note.Open(append(bytes.Clone(checkpoint), body...), note.VerifierList(verifier))
		check(err)
		fmt.Printf("cosigned %d by %s\n", size, opened.Sigs[0].Name)
		before = size
	}
	_, latest, err := to.Update(context.Background(), 3, sign(signer, 300, root(0, 300)), consistency(3, 300))
	fmt.Printf("stale: %v %d\n", err, latest)
	_, _, err = to.Update(context.Background(), before, sign(signer, before, root(1, before)), nil)
	fmt.Printf("fork: %v\n", err)
	_, _, err = to.Update(context.Background(), before, sign(signer, 300, root(1, 300)), consistency(before, 300))
	fmt.Printf("rewritten: %v\n", err)
}

func sign(signer note.Signer, size uint64, root []byte) []byte {
	text := fmt.Sprintf("%s\n%d\n%s\n", signer.Name(), size, base64.StdEncoding.EncodeToString(root))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	check(err)
	return signed
}

func leaf(past, index uint64) []byte {
	return rfc6962.DefaultHasher.HashLeaf(fmt.Appendf(nil, "%d of past %d", index, past))
}

func root(past, size uint64) []byte { return subtree(past, 0, size) }

// subtree is the root over the leaves from begin to end (RFC 6962, 2.1).
func subtree(past, begin, end uint64) []byte {
	if end-begin == 1 {
		return leaf(past, begin)
	}
	half := uint64(1)
	for half*2 < end-begin {
		half *= 2
	}
	return rfc6962.DefaultHasher.HashChildren(subtree(past, begin, begin+half), subtree(past, begin+half, end))
}

func consistency(from, to uint64) [][]byte {
	if from == 0 {
		return nil
	}
	nodes, err := proof.Consistency(from, to)
	check(err)
	hashes := make([][]byte, 0, len(nodes.IDs))
	for _, id := range nodes.IDs {
		hashes = append(hashes, node(id))
	}
	hashes, err = nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
	check(err)
	return hashes
}

func node(id compact.NodeID) []byte {
	return subtree(0, id.Index<<id.Level, (id.Index+1)<<id.Level)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
