// Command peer does with the library of sealed-secrets what the benchmarks need of it: keys, sealing many Secrets
// at once, and the cost of opening one.
//
//	peer keys DIR                   a sealing key as the controller makes it: DIR/tls.key, DIR/tls.crt
//	peer seal CERT <SECRETS         one Secret a line in, one SealedSecret a line out, both JSON
//	peer open COUNT...              the CPU time of opening three values, with so many keys at hand
//
// It is built in the module that pins the controller: see tests/bench/run.
package main

import (
	"bufio"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/bitnami/sealed-secrets/pkg/apis/sealedsecrets/v1alpha1"
	"github.com/bitnami/sealed-secrets/pkg/crypto"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// What the controller makes by default.
const (
	keySize  = 4096
	validFor = 10 * 365 * 24 * time.Hour
)

// How long one figure may take, and how many runs it stands on at least and at most.
const (
	budget  = 2 * time.Second
	minRuns = 5
	maxRuns = 200
)

// Making an RSA key takes a second; a wrong one costs the same however often it is there.
const distinctKeys = 4

func main() {
	log.SetFlags(0)
	log.SetPrefix("peer: error: ")
	if len(os.Args) < 3 {
		log.Fatal("usage: peer keys DIR | peer seal CERT | peer open COUNT...")
	}
	switch verb, args := os.Args[1], os.Args[2:]; verb {
	case "keys":
		writeKey(args[0])
	case "seal":
		seal(args[0])
	case "open":
		open(args)
	default:
		log.Fatalf("there is no verb %s", verb)
	}
}

func writeKey(dir string) {
	key, cert, err := crypto.GeneratePrivateKeyAndCert(keySize, validFor, "")
	check(err)
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	check(os.WriteFile(filepath.Join(dir, "tls.key"), private, 0o600))
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	check(os.WriteFile(filepath.Join(dir, "tls.crt"), public, 0o600))
}

func seal(path string) {
	text, err := os.ReadFile(path)
	check(err)
	block, _ := pem.Decode(text)
	if block == nil {
		log.Fatalf("%s is no PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	check(err)
	public, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		log.Fatalf("%s holds no RSA key", path)
	}
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), bufio.NewWriter(os.Stdout)
	for in.More() {
		var secret v1.Secret
		check(in.Decode(&secret))
		sealed, err := v1alpha1.NewSealedSecret(scheme.Codecs, public, &secret)
		check(err)
		sealed.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "SealedSecret"}
		check(json.NewEncoder(out).Encode(sealed))
	}
	check(out.Flush())
}

// open measures on one core. The controller's loop over its keys has no order, so that on average half of the wrong
// ones are tried before the right one.
func open(counts []string) {
	runtime.GOMAXPROCS(1)
	keys := make([]*rsa.PrivateKey, distinctKeys)
	for i := range keys {
		var err error
		keys[i], _, err = crypto.GeneratePrivateKeyAndCert(keySize, validFor, "")
		check(err)
	}
	secret := &v1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "receivers"},
		Data:       map[string][]byte{},
	}
	for i := range 3 {
		secret.Data[fmt.Sprintf("key-%d", i)] = slices.Repeat([]byte("x"), 32)
	}
	sealed, err := v1alpha1.NewSealedSecret(scheme.Codecs, &keys[0].PublicKey, secret)
	check(err)
	for _, word := range counts {
		count, err := strconv.Atoi(word)
		check(err)
		ring := map[string]*rsa.PrivateKey{"right": keys[0]}
		for i := 1; i < count; i++ {
			ring[fmt.Sprintf("wrong-%d", i)] = keys[1+i%(distinctKeys-1)]
		}
		fmt.Printf("%d %d\n", count, median(func() {
			_, err := sealed.Unseal(scheme.Codecs, ring)
			check(err)
		}).Nanoseconds())
	}
}

func median(run func()) time.Duration {
	var took []time.Duration
	for began := time.Now(); len(took) < minRuns || len(took) < maxRuns && time.Since(began) < budget; {
		start := used()
		run()
		took = append(took, used()-start)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// used is the CPU time of this process, which other processes do not lengthen.
func used() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
