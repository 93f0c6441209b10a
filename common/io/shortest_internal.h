/* Numbers as text with the fewest significant digits that read back to the same value. Shared by
 * the JSON and CSV writers. */
#ifndef DK_IO_SHORTEST_INTERNAL_H
#define DK_IO_SHORTEST_INTERNAL_H

#define DK_SHORTEST_SIZE 32

/* v must be finite. "0.1", "-0", "3", "1e+20". */
void dk_shortest_f64(double v, char s[DK_SHORTEST_SIZE]);
void dk_shortest_f32(float v, char s[DK_SHORTEST_SIZE]);

#endif
