package locale

import "testing"

// TestIsolate puts words of strangers into a sentence, which must stay in its order.
func TestIsolate(t *testing.T) {
	for _, test := range []struct{ word, want string }{
		{"films", "The route films was created."},
		{"Ünïcode 12", "The route Ünïcode 12 was created."},
		{"שלום", "The route \u2068שלום\u2069 was created."},
		{"a\u202egpj.exe", "The route \u2068a\uFFFDgpj.exe\u2069 was created."},
		{"\u2069\u2069שלום", "The route \u2068\uFFFD\uFFFDשלום\u2069 was created."},
		{"مرحبا\u200f!", "The route \u2068مرحبا\u200f!\u2069 was created."},
	} {
		if got := fill("The route {0} was created.", []any{test.word}); got != test.want {
			t.Errorf("%+q: %+q, want %+q", test.word, got, test.want)
		}
	}
}
