package secret

// Values made once with the keys of fixed; they never change.
const (
	goldenSealed      = "01df3a95df65f81906766e84c04f5f38d9278b05044c63f1c2077ff18f10876527d7f944b94c90"
	goldenPage        = "01068dad434526ae2dfda6490d508037e0255605aa1646a7b30879a2938ef54b21189a575836f7"
	goldenMAC         = "6632b9369f749dace1a90ce7b250c2c13b0db2a9820a4b4980e8998005e001f7"
	goldenPublic      = "7552faacca091d5cc73edc303301479b8eef8d9cbe068ae976d46e354d4f458d"
	goldenFingerprint = "4b8c2f5a414d2ac8"
)
