// Package ndcg measures how good the order of answers is: documents that people
// judged, real embeddings, and nDCG@10 of keyword, semantic and hybrid search.
package ndcg
