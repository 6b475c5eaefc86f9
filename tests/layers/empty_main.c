// SPDX-License-Identifier: MIT
/* For programs that are linked to see whether they link: see meson.build. */
int main(void)
{
	return 0;
}
